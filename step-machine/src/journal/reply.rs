//! What a journal answers, later or at once: awaited, or waited for without a runtime.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::JournalError;
use crate::sync::lock;

/// What a journal was asked for. `.await` it, or [`wait`](Self::wait) for it on this thread.
///
/// Dropped, it changes nothing: what the journal was asked to do is done in any case.
///
/// # Examples
///
/// ```
/// use step_machine::journal::Reply;
///
/// assert_eq!(Reply::ready(Ok(8080)).wait()?, 8080);
///
/// let (answer, reply) = Reply::later();
/// std::thread::spawn(move || answer.send(Ok("kept")));
/// assert_eq!(reply.wait()?, "kept");
/// # Ok::<(), step_machine::JournalError>(())
/// ```
#[must_use = "whether the journal did what it was asked for is known only from its reply"]
pub struct Reply<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T, JournalError>>),
    Later(Arc<Slot<T>>),
}

/// The other end of a [`Reply`] that comes later.
pub struct Answer<T>(Option<Arc<Slot<T>>>);

struct Slot<T> {
    state: Mutex<Content<T>>,
    arrived: Condvar,
}

struct Content<T> {
    answer: Option<Result<T, JournalError>>,
    /// Whoever was to answer went away.
    is_lost: bool,
    waker: Option<Waker>,
    /// Gets the answer where nobody waits for it any more.
    heir: Option<Heir<T>>,
    /// A thread waits. To wake one costs a call of the operating system, also where there is none.
    is_waited_for: bool,
}

type Heir<T> = Box<dyn FnOnce(Result<T, JournalError>) + Send>;

impl<T> Content<T> {
    fn take(&mut self) -> Option<Result<T, JournalError>> {
        let lost = || Err(JournalError::Closed);
        self.answer.take().or_else(|| self.is_lost.then(lost))
    }
}

impl<T> Reply<T> {
    /// A reply that is there already.
    pub fn ready(answer: Result<T, JournalError>) -> Self {
        Self(State::Ready(Some(answer)))
    }

    /// A reply that comes when the answer is sent. Where the answer is dropped unsent, it is
    /// [`JournalError::Closed`].
    pub fn later() -> (Answer<T>, Self) {
        let content = Content { answer: None, is_lost: false, waker: None, heir: None, is_waited_for: false };
        let slot = Arc::new(Slot { state: Mutex::new(content), arrived: Condvar::new() });
        (Answer(Some(slot.clone())), Self(State::Later(slot)))
    }

    /// Waits for it on this thread. Needs no runtime.
    pub fn wait(mut self) -> Result<T, JournalError> {
        match &mut self.0 {
            State::Ready(answer) => answer.take().unwrap_or(Err(JournalError::Closed)),
            State::Later(slot) => {
                let mut content = lock(&slot.state);
                loop {
                    if let Some(answer) = content.take() {
                        return answer;
                    }
                    content.is_waited_for = true;
                    content = slot.arrived.wait(content).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The answer, if it is there already; nobody waits for it otherwise.
    pub fn now(mut self) -> Option<Result<T, JournalError>> {
        self.look()
    }

    /// The same, of a reply that is looked at again later where it is not there yet.
    pub(crate) fn look(&mut self) -> Option<Result<T, JournalError>> {
        match &mut self.0 {
            State::Ready(answer) => answer.take(),
            State::Later(slot) => lock(&slot.state).take(),
        }
    }

    /// The answer, if it is there already; otherwise `heir` gets it on the thread that sends it, out of any lock of this
    /// reply.
    pub(super) fn now_or(
        mut self,
        heir: impl FnOnce(Result<T, JournalError>) + Send + 'static,
    ) -> Option<Result<T, JournalError>> {
        match &mut self.0 {
            State::Ready(answer) => answer.take(),
            State::Later(slot) => {
                let mut content = lock(&slot.state);
                let answer = content.take();
                if answer.is_none() {
                    content.heir = Some(Box::new(heir));
                }
                answer
            }
        }
    }
}

impl<T: 'static> Reply<T> {
    /// What becomes of the answer by `map`, which is called on the thread that sends it.
    pub(super) fn map<U: Send + 'static>(mut self, map: impl FnOnce(T) -> U + Send + 'static) -> Reply<U> {
        let (answer, mapped) = Reply::later();
        let heir = move |result: Result<T, JournalError>| answer.send(result.map(map));
        match &mut self.0 {
            State::Ready(result) => heir(result.take().unwrap_or(Err(JournalError::Closed))),
            State::Later(slot) => {
                let mut content = lock(&slot.state);
                match content.take() {
                    Some(result) => {
                        drop(content);
                        heir(result);
                    }
                    None => content.heir = Some(Box::new(heir)),
                }
            }
        }
        mapped
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => Poll::Ready(answer.take().unwrap_or(Err(JournalError::Closed))),
            State::Later(slot) => {
                let mut content = lock(&slot.state);
                if let Some(answer) = content.take() {
                    return Poll::Ready(answer);
                }
                content.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Reply<T> {}

impl<T> Answer<T> {
    /// Answers.
    pub fn send(mut self, answer: Result<T, JournalError>) {
        self.settle(|content| content.answer = Some(answer));
    }

    /// Does nothing the second time.
    fn settle(&mut self, set: impl FnOnce(&mut Content<T>)) {
        let Some(slot) = self.0.take() else { return };
        let mut content = lock(&slot.state);
        set(&mut content);
        let (waker, is_waited_for) = (content.waker.take(), content.is_waited_for);
        let left = content.heir.take().and_then(|heir| Some((heir, content.take()?)));
        // Out of the lock: waking may run code of others.
        drop(content);
        if is_waited_for {
            slot.arrived.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some((heir, answer)) = left {
            heir(answer);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.settle(|content| content.is_lost = true);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
