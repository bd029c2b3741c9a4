//! Observers: what sees the events of a run without touching it.
//!
//! An observer never hurts a run. One that panics is isolated and counted, and the run's report names it. An observer
//! is called on the thread that drives the run, which waits for it, so slow work belongs behind [`broadcast`]; and it must
//! not end what it watches: a task of the run, or the run itself.

mod callbacks;
mod channel;
mod json_lines;
mod live;
#[cfg(feature = "metrics")]
mod metrics;
mod plain_log;
#[cfg(feature = "progress")]
mod progress;
mod scope;
mod text;
mod ticker;
#[cfg(feature = "tracing")]
mod tracing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use callbacks::{Callbacks, callbacks};
pub use channel::{ChannelObserver, channel};
pub use json_lines::JsonLines;
pub use live::{Broadcast, BroadcastObserver, Lagged, Subscription, Told, broadcast, channel_bounded};
pub use plain_log::PlainLog;
#[cfg(feature = "progress")]
pub use progress::{Drawing, ProgressBar};
pub use scope::Scope;
pub(crate) use scope::{Scoped, Scopes};
pub use text::{PlainText, TextLine, one_line};

use crate::event::{
    Event, Kind, OutputLine, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRef, StepRetry, StepStart, StepUpdate,
    TaskEnd, TaskStart, TaskUpdate, UndoEnd, UndoStart,
};
use crate::sync::lock;
use crate::workflow::Plan;

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

    /// How often something panicked in it that it caught itself. The report counts it as it does panics of the observer.
    fn panics(&self) -> u64 {
        0
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

    /// What the body runs inside of that `start` begins: an attempt at a step, or at undoing one. Asked right after the
    /// event was shown; see [`Scope`].
    fn scope(&mut self, start: &Event) -> Option<Box<dyn Scope>> {
        None
    }
}

/// An observer that is chosen when the program runs.
impl<O: Observer + ?Sized> Observer for Box<O> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn panics(&self) -> u64 {
        (**self).panics()
    }

    fn event(&mut self, event: &Event) {
        // The methods of the types too: the outer ones of this impl do nothing.
        dispatch(&mut **self, event);
    }

    fn scope(&mut self, start: &Event) -> Option<Box<dyn Scope>> {
        (**self).scope(start)
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
    /// The scopes of bodies that are about to run.
    scopes: Vec<(StepRef, Scopes)>,
}

struct Seat {
    // Never locked while a run goes on, which has exclusive access; it only makes the whole shareable.
    observer: Mutex<Box<dyn Observer>>,
    name: String,
    panics: u64,
    /// The panics of its scopes, which are elsewhere, where it gave any.
    scope_panics: Option<Arc<AtomicU64>>,
}

impl Seat {
    /// Calls the observer. One that panics may be left half-way, which only it can see: it is outside of the run's
    /// state.
    fn call<T>(&mut self, call: impl FnOnce(&mut dyn Observer) -> T) -> Option<T> {
        let observer = self.observer.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let called = catch_unwind(AssertUnwindSafe(|| call(observer.as_mut())));
        self.panics += u64::from(called.is_err());
        called.ok()
    }

    fn scope(&mut self, start: &Event) -> Option<(Box<dyn Scope>, Arc<AtomicU64>)> {
        let scope = self.call(|observer| observer.scope(start))??;
        Some((scope, self.scope_panics.get_or_insert_default().clone()))
    }

    fn panics(&self) -> u64 {
        // Its own code, as everything of an observer.
        let inside = catch_unwind(AssertUnwindSafe(|| lock(&self.observer).panics())).unwrap_or(1);
        self.panics + inside + self.scope_panics.as_ref().map_or(0, |panics| panics.load(Ordering::Relaxed))
    }
}

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer + 'static) {
        let name = observer.name().to_owned();
        self.seats.push(Seat { observer: Mutex::new(Box::new(observer)), name, panics: 0, scope_panics: None });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Shows an event of the run, and asks for the scope of the body that it begins.
    pub(crate) fn notify(&mut self, event: &Event) {
        if !self.scopes.is_empty() {
            self.forget_scopes(event);
        }
        self.show(event);
        if let Kind::StepStart(StepStart { step, .. }) | Kind::UndoStart(UndoStart { step, .. }) = &event.kind
            && let Some(scopes) = self.scopes_of(event)
        {
            self.scopes.push((step.clone(), scopes));
        }
    }

    /// Shows an event, also of a run that is nested in this one.
    pub(crate) fn show(&mut self, event: &Event) {
        for seat in &mut self.seats {
            seat.call(|observer| dispatch(observer, event));
        }
    }

    /// What the body runs inside of that `start` begins.
    pub(crate) fn scopes_of(&mut self, start: &Event) -> Option<Scopes> {
        Scopes::new(self.seats.iter_mut().filter_map(|seat| seat.scope(start)))
    }

    /// Drops the scopes of a body that never ran.
    #[cold]
    fn forget_scopes(&mut self, event: &Event) {
        let begins_or_ends = matches!(
            event.kind,
            Kind::StepStart(_) | Kind::StepRetry(_) | Kind::StepEnd(_) | Kind::UndoStart(_) | Kind::UndoEnd(_)
        );
        match event.kind.step().filter(|_| begins_or_ends) {
            Some(step) => self.scopes.retain(|(waiting, _)| waiting != step),
            None if event.is_run_end() => self.scopes.clear(),
            None => {}
        }
    }

    /// Whether some body that is about to run has scopes.
    #[inline]
    pub(crate) fn has_scopes(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// The scopes of a step's body that runs next.
    #[cold]
    pub(crate) fn take_scopes(&mut self, plan: &Plan, step: usize) -> Option<Scopes> {
        let at = self.scopes.iter().position(|(waiting, _)| waiting.find(plan) == Some(step))?;
        Some(self.scopes.swap_remove(at).1)
    }

    pub(crate) fn faults(&self) -> Vec<ObserverFault> {
        let faults = self.seats.iter().map(|seat| ObserverFault { observer: seat.name.clone(), panics: seat.panics() });
        faults.filter(|fault| fault.panics > 0).collect()
    }
}

/// Takes the place of an observer that was let go.
struct Nobody;

impl Observer for Nobody {}

impl Observers {
    /// Lets the observers go where nothing is told any more; how often they panicked stays known.
    pub(crate) fn dismiss(&mut self) {
        self.scopes.clear();
        for seat in &mut self.seats {
            (seat.panics, seat.scope_panics) = (seat.panics(), None);
            let gone = std::mem::replace(&mut seat.observer, Mutex::new(Box::new(Nobody)));
            seat.panics += u64::from(catch_unwind(AssertUnwindSafe(|| drop(gone))).is_err());
        }
    }
}

impl Drop for Observers {
    /// An observer that panics as it goes does not take the run with it.
    fn drop(&mut self) {
        self.scopes.clear();
        for seat in self.seats.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(seat)));
        }
    }
}
