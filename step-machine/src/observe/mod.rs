//! Observers: what sees the events of a run without touching it.
//!
//! An observer never hurts a run. One that panics is isolated and counted, and the run's report names it. An observer
//! is called on the thread that drives the run, which waits for it, so slow work belongs behind [`channel`]; and it must
//! not end what it watches: a task of the run, or the run itself.

mod callbacks;
mod channel;
mod json_lines;
mod plain_log;
#[cfg(feature = "progress")]
mod progress;
mod text;
mod ticker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

pub use callbacks::{Callbacks, callbacks};
pub use channel::{ChannelObserver, channel};
pub use json_lines::JsonLines;
pub use plain_log::PlainLog;
#[cfg(feature = "progress")]
pub use progress::{Drawing, ProgressBar};
pub use text::{PlainText, TextLine, one_line};

use crate::event::{
    Event, Kind, OutputLine, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRetry, StepStart, StepUpdate, TaskEnd,
    TaskStart, TaskUpdate, UndoEnd, UndoStart,
};

/// Sees every event of a run once it is durable. All methods do nothing unless they are written.
///
/// # Examples
///
/// ```
/// use step_machine::Observer;
/// use step_machine::event::{Event, StepEnd};
///
/// struct Slowest(std::time::Duration);
///
/// impl Observer for Slowest {
///     fn step_end(&mut self, _: &Event, end: &StepEnd) {
///         self.0 = self.0.max(end.duration);
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the names are the documentation")]
pub trait Observer: Send {
    /// How a report names the observer.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// Any event; called before the method of its type.
    fn event(&mut self, event: &Event) {}

    /// The run began.
    fn run_start(&mut self, event: &Event, start: &RunStart) {}

    /// The run goes on after a stop or a crash.
    fn run_resume(&mut self, event: &Event, resume: &RunResume) {}

    /// An attempt at a step begins.
    fn step_start(&mut self, event: &Event, start: &StepStart) {}

    /// News from inside a step.
    fn step_update(&mut self, event: &Event, update: &StepUpdate) {}

    /// An attempt failed and another one will follow.
    fn step_retry(&mut self, event: &Event, retry: &StepRetry) {}

    /// A step is settled.
    fn step_end(&mut self, event: &Event, end: &StepEnd) {}

    /// A line of standard output.
    fn stdout(&mut self, event: &Event, line: &OutputLine) {}

    /// A line of standard error.
    fn stderr(&mut self, event: &Event, line: &OutputLine) {}

    /// A task inside a step began.
    fn task_start(&mut self, event: &Event, start: &TaskStart) {}

    /// News from a task.
    fn task_update(&mut self, event: &Event, update: &TaskUpdate) {}

    /// A task ended.
    fn task_end(&mut self, event: &Event, end: &TaskEnd) {}

    /// Nothing was heard from a step for too long.
    fn stalled(&mut self, event: &Event, stalled: &Stalled) {}

    /// An attempt to undo a step begins.
    fn undo_start(&mut self, event: &Event, start: &UndoStart) {}

    /// Undoing a step ended.
    fn undo_end(&mut self, event: &Event, end: &UndoEnd) {}

    /// The run ended.
    fn run_end(&mut self, event: &Event, end: &RunEnd) {}
}

/// An observer that is chosen when the program runs.
impl<O: Observer + ?Sized> Observer for Box<O> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn event(&mut self, event: &Event) {
        // The methods of the types too: the outer ones of this impl do nothing.
        dispatch(&mut **self, event);
    }
}

fn dispatch<O: Observer + ?Sized>(observer: &mut O, event: &Event) {
    observer.event(event);
    match &event.kind {
        Kind::RunStart(start) => observer.run_start(event, start),
        Kind::RunResume(resume) => observer.run_resume(event, resume),
        Kind::StepStart(start) => observer.step_start(event, start),
        Kind::StepUpdate(update) => observer.step_update(event, update),
        Kind::StepRetry(retry) => observer.step_retry(event, retry),
        Kind::StepEnd(end) => observer.step_end(event, end),
        Kind::Stdout(line) => observer.stdout(event, line),
        Kind::Stderr(line) => observer.stderr(event, line),
        Kind::TaskStart(start) => observer.task_start(event, start),
        Kind::TaskUpdate(update) => observer.task_update(event, update),
        Kind::TaskEnd(end) => observer.task_end(event, end),
        Kind::Stalled(stalled) => observer.stalled(event, stalled),
        Kind::UndoStart(start) => observer.undo_start(event, start),
        Kind::UndoEnd(end) => observer.undo_end(event, end),
        Kind::RunEnd(end) => observer.run_end(event, end),
        Kind::Unknown(_) => {}
    }
}

/// What an observer did that it should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverFault {
    /// The observer's name.
    pub observer: String,
    /// How often it panicked.
    pub panics: u64,
}

/// The observers of one run, each behind its own wall.
#[derive(Default)]
pub(crate) struct Observers {
    seats: Vec<Seat>,
}

struct Seat {
    // Never locked while a run goes on, which has exclusive access; it only makes the whole shareable.
    observer: Mutex<Box<dyn Observer>>,
    name: String,
    panics: u64,
}

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer + 'static) {
        let name = observer.name().to_owned();
        self.seats.push(Seat { observer: Mutex::new(Box::new(observer)), name, panics: 0 });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(crate) fn notify(&mut self, event: &Event) {
        for seat in &mut self.seats {
            let observer = seat.observer.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            // An observer that panics may be left half-way, which only it can see: it is outside of the run's state.
            if catch_unwind(AssertUnwindSafe(|| dispatch(observer.as_mut(), event))).is_err() {
                seat.panics += 1;
            }
        }
    }

    pub(crate) fn faults(&self) -> Vec<ObserverFault> {
        let faulty = self.seats.iter().filter(|seat| seat.panics > 0);
        faulty.map(|seat| ObserverFault { observer: seat.name.clone(), panics: seat.panics }).collect()
    }
}

impl Drop for Observers {
    /// An observer that panics as it goes does not take the run with it.
    fn drop(&mut self) {
        for seat in self.seats.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(seat)));
        }
    }
}
