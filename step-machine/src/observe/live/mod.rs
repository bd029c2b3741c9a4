//! Events handed to readers that may be slow, with a bound on what waits for them.
//!
//! Own structure, as a channel that drops the oldest drops the end of a step as soon as a line of output.

mod room;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use room::{NotYet, Place, Room};

use super::Observer;
use crate::event::{Event, EventType};
use crate::sync::block_on;

/// Hands events to [`Subscription`]s; see [`broadcast`] and [`channel_bounded`].
#[derive(Debug)]
pub struct BroadcastObserver {
    room: Arc<Room>,
}

/// Where readers of a run subscribe, at any time; see [`broadcast`]. Clones are the same.
#[derive(Debug, Clone)]
pub struct Broadcast {
    room: Arc<Room>,
}

/// One reader's end of a [`broadcast`] or a [`channel_bounded`].
///
/// Read it with [`next`](Self::next) on any runtime, with [`iter`](Self::iter) on a thread, or with the feature `stream`
/// as a `futures_core::Stream`.
#[derive(Debug)]
pub struct Subscription {
    room: Arc<Room>,
    place: Place,
}

/// What a [`Subscription`] gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Told {
    /// What happened; those of one run come in the order of their `seq`.
    Event(Arc<Event>),
    /// Here, since what was told before, events are missing.
    Lagged(Lagged),
}

/// Events that a reader misses, as it is too slow or came too late. All of them are news of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// How many in all.
    pub missed: u64,
    /// How many of them are `step_update`.
    pub step_updates: u64,
    /// How many of them are `task_update`.
    pub task_updates: u64,
    /// How many of them are `stdout`.
    pub stdout: u64,
    /// How many of them are `stderr`.
    pub stderr: u64,
}

/// An observer, and where any number of readers subscribe to what it sees, also after the run began.
///
/// The run never waits for a reader. Room is kept for the last `capacity` news (`step_update`, `task_update`, `stdout`,
/// `stderr`); what a reader misses of them it is told as [`Told::Lagged`], by their kinds. All other events always
/// arrive, also at a reader that subscribes late: it gets the run's plan first, then the rest in order. They are kept as
/// long as the run goes on or anybody can read them, and there are as many as the run has steps, attempts and tasks.
///
/// Subscriptions end with the run, as the receiver of a [`channel`](super::channel) does. Needs no runtime.
///
/// # Examples
///
/// ```
/// use step_machine::observe::{Told, broadcast};
/// use step_machine::{Workflow, event::EventType};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let (observer, live) = broadcast(2);
/// let run = Greet::machine().observe(observer).begin()?;
/// let mut early = live.subscribe();
/// run.step(greet::Hello, |cx| {
///     (1..=5).for_each(|line| cx.stdout(format!("line {line}")));
///     Ok::<(), std::io::Error>(())
/// })?.finish()?;
///
/// for mut reader in [early, live.subscribe()] {
///     let mut told = Vec::new();
///     while let Some(next) = reader.next().await {
///         told.push(match next {
///             Told::Event(event) => event.event_type().to_string(),
///             Told::Lagged(lagged) => format!("{} lines are missing", lagged.stdout),
///             _ => continue,
///         });
///     }
///     assert_eq!(
///         told,
///         ["run_start", "step_start", "3 lines are missing", "stdout", "stdout", "step_end", "run_end"]
///     );
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn broadcast(capacity: usize) -> (BroadcastObserver, Broadcast) {
    let room = Arc::new(Room::new(capacity, true));
    (BroadcastObserver { room: room.clone() }, Broadcast { room })
}

/// A [`channel`](super::channel) for a reader that may be slow: at most `capacity` news wait for it, by the rule of
/// [`broadcast`].
///
/// All events but news wait for it in any case. Nothing is kept that was read, and nothing once the reader is dropped.
///
/// # Examples
///
/// ```
/// use step_machine::{Workflow, observe};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let (observer, mut events) = observe::channel_bounded(1_000);
/// let reader = std::thread::spawn(move || events.iter().filter(|told| told.event().is_some()).count());
/// let run = Greet::machine().observe(observer).begin()?;
/// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// assert_eq!(reader.join().unwrap(), 4); // run_start, step_start, step_end, run_end
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel_bounded(capacity: usize) -> (BroadcastObserver, Subscription) {
    let room = Arc::new(Room::new(capacity, false));
    (BroadcastObserver { room: room.clone() }, Subscription::enter(room))
}

impl Observer for BroadcastObserver {
    fn event(&mut self, event: &Event) {
        // Alone it is where nobody reads, nor ever can.
        if Arc::strong_count(&self.room) > 1 {
            self.room.add(Arc::new(event.clone()));
        }
    }
}

impl Drop for BroadcastObserver {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Broadcast {
    /// A reader that gets everything from the run's beginning, as far as there is room for it.
    pub fn subscribe(&self) -> Subscription {
        Subscription::enter(self.room.clone())
    }
}

impl Subscription {
    fn enter(room: Arc<Room>) -> Self {
        let place = room.enter();
        Self { room, place }
    }

    /// What comes next, once there is anything; `None` after the end of the run. Nothing is lost where the future is
    /// dropped.
    pub async fn next(&mut self) -> Option<Told> {
        poll_fn(|context| self.poll(context)).await
    }

    /// [`next`](Self::next), where it need not be waited for; `None` also at the end.
    pub fn try_next(&mut self) -> Option<Told> {
        self.room.take(&mut self.place, None).ok().flatten()
    }

    /// All that comes, for a reader on a thread of its own: it waits for each, and ends with the run.
    pub fn iter(&mut self) -> impl Iterator<Item = Told> + '_ {
        std::iter::from_fn(|| block_on(self.next()))
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Told>> {
        match self.room.take(&mut self.place, Some(context.waker())) {
            Ok(next) => Poll::Ready(next),
            Err(NotYet) => Poll::Pending,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.room.leave(&self.place);
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for Subscription {
    type Item = Told;

    fn poll_next(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Told>> {
        self.get_mut().poll(context)
    }
}

impl Told {
    /// The event, where it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Lagged(_) => None,
        }
    }
}

impl Lagged {
    fn count(&mut self, event: EventType) {
        self.missed += 1;
        match event {
            EventType::StepUpdate => self.step_updates += 1,
            EventType::TaskUpdate => self.task_updates += 1,
            EventType::Stdout => self.stdout += 1,
            EventType::Stderr => self.stderr += 1,
            _ => {}
        }
    }

    /// What was counted after `earlier` was.
    fn since(self, earlier: Self) -> Self {
        Self {
            missed: self.missed - earlier.missed,
            step_updates: self.step_updates - earlier.step_updates,
            task_updates: self.task_updates - earlier.task_updates,
            stdout: self.stdout - earlier.stdout,
            stderr: self.stderr - earlier.stderr,
        }
    }
}
