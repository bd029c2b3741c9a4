//! Events: the one record of a run.
//!
//! State, journals, displays and remote sinks are folds or subscribers of it. Every event has one header and one small
//! [`Kind`]. As JSON an event is one flat object; readers tolerate types and fields that they do not know.

mod kind;
mod payload;
mod read;
mod record;
mod step_ref;
mod words;
mod write;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use kind::{EventType, Kind};
pub use payload::{
    Forked, OutputLine, Parent, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRetry, StepStart, StepUpdate,
    TaskEnd, TaskStart, TaskUpdate, UndoEnd, UndoStart, Unknown,
};
pub use read::{EventLines, ReadError, ReadErrorKind};
pub use record::{Effect, ErrorRecord, FailureRecord, RollbackRecord, StepRecord, UndoRecord};
pub use step_ref::StepRef;
pub use words::{Level, Reason, RunStatus, StepStatus, TaskStatus, UndoStatus};

use crate::run_id::RunId;
use crate::time::{millis, millis_option, rfc3339};

/// Text that is usually known when the program is built.
pub type Text = Cow<'static, str>;

/// The version of the event format that this crate writes.
///
/// It rises only when an old reader would misread an event, for one because a status or a reason has a new word. New types
/// and fields do not raise it: readers pass over what they do not know.
pub const EVENT_VERSION: u16 = 1;

/// One thing that happened in a run.
///
/// # Examples
///
/// ```
/// use step_machine::event::{Event, Kind};
///
/// let line = r#"{"v":1,"run":"web-42","workflow":"provision","seq":2,"at":"2026-01-01T00:00:01.500000Z",
///     "elapsed_ms":1500.0,"type":"step_start","step":"render-templates","attempt":1}"#;
/// let event = Event::from_json(line)?;
/// assert_eq!(event.elapsed.as_millis(), 1500);
/// let Kind::StepStart(start) = event.kind else { panic!("not the start of a step") };
/// assert_eq!(start.step.id(), "render-templates");
/// # Ok::<(), step_machine::event::ReadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Event {
    /// The version of the format: [`EVENT_VERSION`].
    pub v: u16,
    /// The run.
    pub run: RunId,
    /// The name of the run's workflow.
    pub workflow: Text,
    /// The position of the event in its run, from 1 without gaps.
    pub seq: u64,
    /// When it happened: RFC 3339 in UTC, to the microsecond.
    #[serde(with = "rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: SystemTime,
    /// The time since the run first started, time between processes included.
    #[serde(rename = "elapsed_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub elapsed: Duration,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
    /// How far the run is after this event; absent on output lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

impl Event {
    /// Whether the run ends with it.
    pub(crate) fn is_run_end(&self) -> bool {
        matches!(self.kind, Kind::RunEnd(_))
    }

    /// Whether something was heard of the run: not where it is only told that nothing was.
    pub(crate) fn is_heard(&self) -> bool {
        !matches!(self.kind, Kind::Stalled(_))
    }

    /// What kind of event this is.
    pub fn event_type(&self) -> EventType {
        self.kind.event_type()
    }

    /// The step that the event belongs to, if it belongs to one.
    pub fn step(&self) -> Option<&str> {
        self.kind.step().map(StepRef::id)
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Progress {
    /// 0 to 100, weighted; never falls within a run.
    pub percentage: f64,
    /// The number of the step that started last, from 1; 0 before the first.
    pub step_number: usize,
    /// How many steps the plan has.
    pub total_steps: usize,
    /// How many steps are completed or skipped.
    pub completed: usize,
    /// The id of the step that started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<StepRef>,
    /// The estimated time that remains; unknown before anything is done, unless earlier runs tell.
    #[serde(rename = "eta_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub eta: Option<Duration>,
}
