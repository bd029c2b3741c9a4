//! Closures as observers.

use std::fmt;

use super::Observer;
use crate::event::{Event, EventType, RunEnd, RunStatus, StepEnd, StepStatus};

type Callback = Box<dyn FnMut(&Event) + Send>;

enum Wanted {
    Any,
    Type(EventType),
    Step(StepStatus),
    Run(RunStatus),
}

/// Closures that are called for all events, for those of a type, or when a step or the run takes a status.
///
/// # Examples
///
/// ```
/// use step_machine::event::{EventType, StepStatus};
/// use step_machine::observe::callbacks;
///
/// let observer = callbacks()
///     .on(EventType::RunStart, |event| println!("run {} began", event.run))
///     .on_step(StepStatus::Failed, |event| eprintln!("{} failed", event.step().unwrap_or("?")));
/// # let _ = observer;
/// ```
#[derive(Default)]
pub struct Callbacks {
    callbacks: Vec<(Wanted, Callback)>,
    run: Option<RunStatus>,
}

/// An observer without any callbacks yet.
pub fn callbacks() -> Callbacks {
    Callbacks::default()
}

impl Callbacks {
    /// Calls `callback` for every event.
    #[must_use]
    pub fn on_any(self, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Any, callback)
    }

    /// Calls `callback` for the events of a type.
    #[must_use]
    pub fn on(self, event_type: EventType, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Type(event_type), callback)
    }

    /// Calls `callback` when a step starts or ends with this status.
    #[must_use]
    pub fn on_step(self, status: StepStatus, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Step(status), callback)
    }

    /// Calls `callback` when the run takes this status.
    #[must_use]
    pub fn on_run(self, status: RunStatus, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.with(Wanted::Run(status), callback)
    }

    fn with(mut self, wanted: Wanted, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.callbacks.push((wanted, Box::new(callback)));
        self
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("callbacks", &self.callbacks.len()).finish_non_exhaustive()
    }
}

impl Observer for Callbacks {
    fn event(&mut self, event: &Event) {
        let (step, run) = (step_status(event), run_status(event).filter(|run| self.run != Some(*run)));
        self.run = run.or(self.run);
        for (wanted, callback) in &mut self.callbacks {
            let called = match wanted {
                Wanted::Any => true,
                Wanted::Type(wanted) => *wanted == event.event_type(),
                Wanted::Step(wanted) => step == Some(*wanted),
                Wanted::Run(wanted) => run == Some(*wanted),
            };
            if called {
                callback(event);
            }
        }
    }
}

/// The status that a step takes with this event.
fn step_status(event: &Event) -> Option<StepStatus> {
    use crate::event::{Kind, UndoStatus};
    match &event.kind {
        Kind::StepStart(_) => Some(StepStatus::Running),
        Kind::StepEnd(StepEnd { status, .. }) => Some(*status),
        Kind::UndoEnd(end) => match end.status {
            UndoStatus::Undone => Some(StepStatus::Undone),
            UndoStatus::UndoFailed => Some(StepStatus::UndoFailed),
            UndoStatus::Skipped => None,
        },
        _ => None,
    }
}

/// The status that the run takes with this event.
fn run_status(event: &Event) -> Option<RunStatus> {
    use crate::event::Kind;
    match &event.kind {
        Kind::RunResume(resume) if resume.rollback => Some(RunStatus::RollingBack),
        // A rollback that the workflow's policy asks for begins with its first undo.
        Kind::UndoStart(_) | Kind::UndoEnd(_) => Some(RunStatus::RollingBack),
        Kind::RunStart(_) | Kind::RunResume(_) => Some(RunStatus::Running),
        Kind::RunEnd(end) => {
            let RunEnd { status, .. } = **end;
            Some(status)
        }
        _ => None,
    }
}
