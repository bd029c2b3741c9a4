//! The state of one step.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::event::{ErrorRecord, Level, Reason, StepEnd, StepStatus, TaskStatus, Text, UndoStatus};

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    pub(super) status: StepStatus,
    pub(super) reason: Option<Reason>,
    pub(super) undo: Undo,
    /// An attempt failed and the next one is waited for.
    pub(super) waiting: bool,
    pub(super) interrupted: bool,
    pub(super) attempts: u32,
    /// How many of them belong to what was taken back when the step was to run again.
    pub(super) attempts_before: u32,
    pub(super) fraction: f64,
    pub(super) started_seq: u64,
    // Times are nanoseconds since the run's first start.
    pub(super) started: u64,
    pub(super) attempt_started: u64,
    pub(super) ended: u64,
    // What most steps never have, so that a state stays small.
    pub(super) details: Option<Box<Details>>,
}

/// How far taking back a step's effect is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undo {
    /// It was not begun.
    #[default]
    None,
    /// An attempt is going on, or the next one is waited for.
    Running,
    /// It ended so.
    Ended(UndoStatus),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Details {
    pub(super) output: Option<Output>,
    /// What it handed on before it was to run again, as long as it has not completed since.
    pub(super) output_before: Option<Output>,
    pub(super) error: Option<ErrorRecord>,
    /// What stopped the step before its undo changed the status.
    pub(super) before_undo: Option<StepStatus>,
    pub(super) skipped_because: Option<Text>,
    pub(super) message: Option<(Level, Text)>,
    pub(super) metadata: Map<String, Value>,
    pub(super) tasks: Vec<TaskState>,
    pub(super) next_attempt: u64,
    pub(super) completed_tasks: usize,
    /// The sum of the fractions of the tasks that are not completed.
    pub(super) open_tasks: f64,
    pub(super) undo_attempts: u32,
    pub(super) undo_started: u64,
    pub(super) undo_error: Option<ErrorRecord>,
    pub(super) undo_message: Option<Text>,
}

/// What a step handed on.
#[derive(Clone, PartialEq)]
pub(super) enum Output {
    Open(Value),
    /// Kept from whoever looks at the state as text; `None` where it is read from events without it.
    Secret(Option<Value>),
}

impl Output {
    pub(super) fn of(end: &StepEnd) -> Option<Self> {
        let value = end.output.as_deref().cloned();
        if end.secret { Some(Self::Secret(value)) } else { value.map(Self::Open) }
    }

    fn value(&self) -> Option<&Value> {
        match self {
            Self::Open(value) => Some(value),
            Self::Secret(value) => value.as_ref(),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(value) => value.fmt(f),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}

/// Where a task inside a step stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskState {
    /// The task's id.
    pub id: Text,
    /// What a person reads.
    pub name: Text,
    /// The status.
    pub status: TaskStatus,
    /// How much of it is done, 0 to 1.
    pub fraction: f64,
    /// The last message.
    pub message: Option<Text>,
}

impl Default for StepState {
    fn default() -> Self {
        Self {
            status: StepStatus::Pending,
            reason: None,
            undo: Undo::None,
            waiting: false,
            interrupted: false,
            attempts: 0,
            attempts_before: 0,
            fraction: 0.0,
            started_seq: 0,
            started: 0,
            attempt_started: 0,
            ended: 0,
            details: None,
        }
    }
}

impl StepState {
    pub(super) fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// Takes back where it stands; what it told, and how often it was tried, stays.
    pub(super) fn run_again(&mut self) {
        self.interrupted |= self.is_cut_off();
        self.status = StepStatus::Pending;
        self.reason = None;
        self.fraction = 0.0;
        self.waiting = false;
        self.attempts_before = self.attempts;
        if let Some(details) = &mut self.details {
            // What is done is still to be taken back by it.
            details.output_before = details.output.take().or(details.output_before.take());
            details.error = None;
            details.skipped_because = None;
        }
        self.forget_tasks();
    }

    /// The status of the step.
    #[inline]
    pub fn status(&self) -> StepStatus {
        self.status
    }

    /// Why the step ended as it did, where the status does not say it.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// How many attempts began, in all processes.
    #[inline]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether what began in this attempt was taken back since, as the step was to run again.
    #[cfg(feature = "runner")]
    pub(crate) fn is_before_again(&self, attempt: u32) -> bool {
        attempt <= self.attempts_before
    }

    /// Whether an attempt failed and the next one is waited for.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// From the run's first start to the next attempt's, while that is waited for: the end of a countdown.
    pub fn next_attempt(&self) -> Option<Duration> {
        let details = self.details.as_ref().filter(|_| self.waiting)?;
        Some(Duration::from_nanos(details.next_attempt))
    }

    /// Whether an attempt began whose end is not known, and the step has neither completed nor been undone since.
    #[inline]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether an attempt ever began: only then there may be something to undo.
    pub fn has_begun(&self) -> bool {
        self.attempts > 0
    }

    /// Whether its attempt was left at a point that is not known: its process went away, or its body was dropped.
    pub(super) fn is_cut_off(&self) -> bool {
        (self.status == StepStatus::Running && !self.waiting) || self.status == StepStatus::Cancelled
    }

    /// Whether anything was decided about the step: then a new plan cannot leave it out.
    pub(super) fn is_reached(&self) -> bool {
        self.status != StepStatus::Pending || self.has_begun()
    }

    /// How much of the step is done, 0 to 1: what it told, or the mean of its tasks, whichever was news last.
    pub fn fraction(&self) -> f64 {
        if self.status.is_settled() { 1.0 } else { self.fraction }
    }

    /// From the run's first start to the step's; `None` before an attempt began.
    pub fn started(&self) -> Option<Duration> {
        self.has_begun().then_some(Duration::from_nanos(self.started))
    }

    /// From the first attempt's start to the step's end; `None` while it has none.
    pub fn duration(&self) -> Option<Duration> {
        let over = !matches!(self.status, StepStatus::Pending | StepStatus::Running);
        (over && self.has_begun()).then(|| Duration::from_nanos(self.ended.saturating_sub(self.started)))
    }

    /// The start of the first attempt; zero where none began.
    #[inline]
    pub(crate) fn first_started(&self) -> u64 {
        self.started
    }

    /// The start of the attempt that goes on or was the last.
    #[inline]
    pub(crate) fn attempt_started(&self) -> u64 {
        self.attempt_started
    }

    /// When its last attempt ended, where that is known, in nanoseconds from the run's first start.
    pub(crate) fn attempt_ended(&self) -> Option<u64> {
        Some(self.ended).filter(|ended| *ended > 0 && *ended >= self.attempt_started)
    }

    /// When the step ended, in nanoseconds from the run's first start.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// What the step handed on. Of a secret only the run itself knows it: a state that is folded from events as
    /// observers and journals have them does not.
    pub fn output(&self) -> Option<&Value> {
        self.details.as_ref()?.output.as_ref()?.value()
    }

    /// What the step handed on, also before it was to run again: what an undo takes back.
    pub(crate) fn output_to_undo(&self) -> Option<&Value> {
        let details = self.details.as_ref()?;
        details.output.as_ref().or(details.output_before.as_ref())?.value()
    }

    /// Whether the step handed on something that is secret.
    pub fn is_secret(&self) -> bool {
        self.details.as_ref().is_some_and(|details| matches!(details.output, Some(Output::Secret(_))))
    }

    /// Why the output does not fit its type, without the output itself where that is secret: serde quotes it.
    #[cold]
    pub(crate) fn misfit(&self, error: serde_json::Error) -> serde_json::Error {
        let is_secret = |output: &Option<Output>| matches!(output, Some(Output::Secret(_)));
        let has_secret = |details: &Details| is_secret(&details.output) || is_secret(&details.output_before);
        if self.details.as_deref().is_some_and(has_secret) {
            serde::de::Error::custom("it has another form, which is secret")
        } else {
            error
        }
    }

    /// What went wrong: in the attempt before while a step is tried again, and at the end where it failed.
    pub fn error(&self) -> Option<&ErrorRecord> {
        self.details.as_ref()?.error.as_ref()
    }

    /// Why the step was skipped on purpose.
    pub fn skipped_because(&self) -> Option<&str> {
        self.details.as_ref()?.skipped_because.as_deref()
    }

    /// The last message for people.
    pub fn message(&self) -> Option<(Level, &str)> {
        let (level, text) = self.details.as_ref()?.message.as_ref()?;
        Some((*level, text))
    }

    /// What the step told machines.
    pub fn metadata(&self) -> Option<&Map<String, Value>> {
        Some(&self.details.as_ref()?.metadata)
    }

    /// The tasks inside the attempt that goes on or was the last, in the order in which they were added.
    pub fn tasks(&self) -> &[TaskState] {
        self.details.as_ref().map_or(&[], |details| &details.tasks)
    }

    /// The status before the undo that ended, if one did.
    pub fn before_undo(&self) -> Option<StepStatus> {
        self.details.as_ref()?.before_undo
    }

    /// How far taking back the step's effect is.
    pub fn undo(&self) -> Undo {
        self.undo
    }

    /// What went wrong in the last failed undo.
    pub fn undo_error(&self) -> Option<&ErrorRecord> {
        self.details.as_ref()?.undo_error.as_ref()
    }

    /// Why the undo was skipped.
    pub fn undo_message(&self) -> Option<&str> {
        self.details.as_ref()?.undo_message.as_deref()
    }

    /// How many attempts to undo the step began.
    pub fn undo_attempts(&self) -> u32 {
        self.details.as_ref().map_or(0, |details| details.undo_attempts)
    }

    pub(crate) fn undo_started(&self) -> u64 {
        self.details.as_ref().map_or(0, |details| details.undo_started)
    }

    /// Whether nothing is left to undo by decision or by deed.
    pub(super) fn undo_is_settled(&self) -> bool {
        matches!(self.undo, Undo::Ended(UndoStatus::Undone | UndoStatus::Skipped))
    }

    /// How the step stopped the run, if it did, whatever its undo made of the status since.
    pub(super) fn failed_status(&self) -> Option<StepStatus> {
        let before = self.details.as_ref().and_then(|details| details.before_undo);
        Some(before.unwrap_or(self.status))
            .filter(|status| matches!(status, StepStatus::Failed | StepStatus::Cancelled))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == StepStatus::Running || self.undo == Undo::Running
    }

    /// Tasks belong to an attempt: the next one adds the same ones again.
    pub(super) fn forget_tasks(&mut self) {
        if let Some(details) = &mut self.details {
            details.tasks.clear();
            (details.completed_tasks, details.open_tasks) = (0, 0.0);
        }
    }
}
