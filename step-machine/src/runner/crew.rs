//! Futures that go on side by side within one task, each polled only when it was woken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::handler::BoxFuture;
use crate::sync::lock;

/// Some futures under way.
pub(crate) struct Crew<'a, T> {
    members: Vec<Option<Member<'a, T>>>,
    free: Vec<usize>,
    bell: Arc<Bell>,
}

struct Member<'a, T> {
    future: BoxFuture<'a, T>,
    ringer: Arc<Ringer>,
}

/// Who has to be polled, and who polls.
#[derive(Default)]
struct Bell {
    rung: Mutex<Vec<usize>>,
    poller: Mutex<Option<Waker>>,
}

/// Wakes one member.
struct Ringer {
    member: usize,
    has_rung: AtomicBool,
    bell: Arc<Bell>,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.has_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.bell.rung).push(self.member);
        // Out of the lock: waking may run code of others.
        let poller = lock(&self.bell.poller).clone();
        if let Some(poller) = poller {
            poller.wake();
        }
    }
}

impl<'a, T> Crew<'a, T> {
    pub(crate) fn new() -> Self {
        Self { members: Vec::new(), free: Vec::new(), bell: Arc::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len() - self.free.len()
    }

    /// Adds a future, which is polled with the next [`next`](Self::next).
    pub(crate) fn push(&mut self, future: BoxFuture<'a, T>) {
        let member = self.free.pop().unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        let ringer = Arc::new(Ringer { member, has_rung: AtomicBool::new(true), bell: self.bell.clone() });
        lock(&self.bell.rung).push(member);
        self.members[member] = Some(Member { future, ringer });
    }

    /// The result of the next one that ends; `None` where there are none.
    pub(crate) async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.len() == 0 {
            return Poll::Ready(None);
        }
        // Before looking who rang, so that nobody rings in between and is not heard.
        self.listen(context);
        let mut rung = std::mem::take(&mut *lock(&self.bell.rung)).into_iter();
        while let Some(member) = rung.next() {
            if let Some(result) = self.poll_member(member) {
                lock(&self.bell.rung).extend(rung);
                return Poll::Ready(Some(result));
            }
        }
        Poll::Pending
    }

    fn listen(&self, context: &Context<'_>) {
        let mut poller = lock(&self.bell.poller);
        if !poller.as_ref().is_some_and(|poller| poller.will_wake(context.waker())) {
            *poller = Some(context.waker().clone());
        }
    }

    fn poll_member(&mut self, index: usize) -> Option<T> {
        let member = self.members[index].as_mut()?;
        member.ringer.has_rung.store(false, Ordering::Release);
        let waker = Waker::from(member.ringer.clone());
        let Poll::Ready(result) = member.future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return None;
        };
        self.members[index] = None;
        self.free.push(index);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn they_end_in_the_order_in_which_they_are_done() {
        let mut crew = Crew::new();
        for millis in [30, 10, 20] {
            crew.push(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                millis
            }));
        }
        let mut ended = Vec::new();
        while let Some(millis) = crew.next().await {
            ended.push(millis);
        }
        assert_eq!(ended, [10, 20, 30]);
    }

    #[tokio::test]
    async fn one_that_rings_while_it_is_polled_is_polled_again() {
        let mut crew = Crew::new();
        let mut left = 3;
        crew.push(Box::pin(std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            left -= 1;
            if left == 0 { Poll::Ready("done") } else { Poll::Pending }
        })));
        assert_eq!(crew.next().await, Some("done"));
        assert_eq!(crew.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_those_that_were_woken_are_polled() {
        let polls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut crew = Crew::new();
        for millis in 1..=100 {
            let (mut sleep, polls) = (Box::pin(tokio::time::sleep(Duration::from_millis(millis))), polls.clone());
            crew.push(Box::pin(std::future::poll_fn(move |context| {
                polls.fetch_add(1, Ordering::Relaxed);
                sleep.as_mut().poll(context)
            })));
        }
        while crew.next().await.is_some() {}
        assert_eq!(polls.load(Ordering::Relaxed), 200);
    }

    #[tokio::test]
    async fn a_place_that_is_free_is_used_again() {
        let mut crew = Crew::new();
        for round in 0..3 {
            crew.push(Box::pin(std::future::ready(round)));
            assert_eq!(crew.next().await, Some(round));
        }
        assert_eq!((crew.members.len(), crew.len()), (1, 0));
    }
}
