//! Why an event is refused.

use std::time::Duration;

use crate::event::{EventType, Kind, RunStatus, StepStatus};
use crate::run_id::RunId;
use crate::workflow::PlanError;

/// An event that is not legal in the state of its run. The state stays as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("event {seq} ({}) is not legal: {reason}", describe(*.event, .step.as_deref()))]
#[non_exhaustive]
pub struct Illegal {
    /// The number of the event.
    pub seq: u64,
    /// The type of the event.
    pub event: EventType,
    /// The step of the event.
    pub step: Option<String>,
    /// Why it is refused.
    pub reason: IllegalReason,
}

fn describe(event: EventType, step: Option<&str>) -> String {
    match step {
        Some(step) => format!("{event} of `{step}`"),
        None => event.to_string(),
    }
}

impl Illegal {
    #[cold]
    pub(crate) fn new(seq: u64, kind: &Kind, reason: IllegalReason) -> Self {
        Self { seq, event: kind.event_type(), step: kind.step().map(|step| step.id().to_owned()), reason }
    }
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalReason {
    /// The first event is not a `run_start`.
    #[error("a run begins with run_start")]
    NotStarted,
    /// A second `run_start`.
    #[error("the run has started already")]
    AlreadyStarted,
    /// The plan in `run_start` is none.
    #[error("{0}")]
    Plan(PlanError),
    /// A run is resumed with a plan that does not fit.
    #[error("{change}")]
    PlanChanged {
        /// The first thing that does not fit.
        change: super::PlanChange,
    },
    /// The event belongs to another run.
    #[error("it belongs to run {found}")]
    OtherRun {
        /// The run of the event.
        found: RunId,
    },
    /// An event is missing before this one, or this one was seen.
    #[error("the next event is number {expected}")]
    OutOfSequence {
        /// The number that comes next.
        expected: u64,
    },
    /// The event happened before the one before it.
    #[error("the event before it happened later, at {previous:?}")]
    TimeWentBack {
        /// When the event before it happened.
        previous: Duration,
    },
    /// The plan does not have the step.
    #[error("the plan has no such step")]
    UnknownStep,
    /// The run is not in a status where this can happen.
    #[error("the run is {status}")]
    Run {
        /// The status of the run.
        status: RunStatus,
    },
    /// The step is not in a status where this can happen.
    #[error("the step is {status}")]
    Step {
        /// The status of the step.
        status: StepStatus,
    },
    /// A step starts before one that it comes after or needs.
    #[error("`{before}` is not settled yet")]
    TooEarly {
        /// The step that comes first.
        before: String,
    },
    /// A step starts although another one stopped the run.
    #[error("`{step}` stopped the run")]
    Halted {
        /// The step that stopped the run.
        step: String,
    },
    /// The attempts do not count up.
    #[error("the next attempt is number {expected}")]
    Attempt {
        /// The number that comes next.
        expected: u32,
    },
    /// The step's rules do not allow it.
    #[error("{rule}")]
    Rule {
        /// The rule.
        rule: &'static str,
    },
    /// A run ends while a step runs.
    #[error("`{step}` is still running")]
    StillRunning {
        /// The step.
        step: String,
    },
    /// A run ends as completed or rolled back with something left.
    #[error("`{step}` is left")]
    Unfinished {
        /// A step that is left.
        step: String,
    },
    /// A task that was not started, or was and is again.
    #[error("task `{task}` {problem}")]
    Task {
        /// The task.
        task: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A fraction outside of 0 to 1.
    #[error("{fraction} is not a fraction between 0 and 1")]
    Fraction {
        /// The fraction.
        fraction: f64,
    },
}
