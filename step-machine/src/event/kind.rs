//! The kinds of events and what each carries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{ErrorRecord, FailureRecord, Text};
use crate::time::millis;
use crate::workflow::{Plan, SharedPlan};

/// Declares the kinds once: the enum, its names, and how a JSON object of each type is read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($payload:ty) = $name:literal;)*) => {
        /// What happened. In JSON the name stands in `type`, the fields beside it.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "type", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $variant($payload),)*
            /// A type that this version does not know, kept as it was read.
            #[serde(untagged)]
            #[cfg_attr(feature = "schema", schemars(skip))]
            Unknown(Box<Unknown>),
        }

        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventType {
            $($(#[$doc])* $variant,)*
            /// A type that this version does not know.
            Unknown,
        }

        impl EventType {
            /// The name as in JSON; `unknown` for a type that this version does not know.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown => "unknown",
                }
            }
        }

        impl Kind {
            /// What kind of event this is.
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$variant(_) => EventType::$variant,)*
                    Self::Unknown(_) => EventType::Unknown,
                }
            }

            /// Reads the fields of the type `name`; a name that is not known keeps its fields.
            pub(super) fn from_fields(
                name: String,
                fields: Map<String, Value>,
            ) -> Result<Self, serde_path_to_error::Error<serde_json::Error>> {
                match name.as_str() {
                    $($name => {
                        serde_path_to_error::deserialize(Value::Object(fields)).map(Self::$variant)
                    })*
                    _ => Ok(Self::Unknown(Box::new(Unknown { name, fields }))),
                }
            }
        }
    };
}

kinds! {
    /// The run began; carries the whole plan.
    RunStart(Box<RunStart>) = "run_start";
    /// The run goes on after a stop or a crash.
    RunResume(RunResume) = "run_resume";
    /// An attempt at a step begins.
    StepStart(StepStart) = "step_start";
    /// News from inside a step.
    StepUpdate(Box<StepUpdate>) = "step_update";
    /// An attempt failed and another one will follow after a wait.
    StepRetry(Box<StepRetry>) = "step_retry";
    /// A step is settled.
    StepEnd(StepEnd) = "step_end";
    /// A line that a step's command wrote to its standard output.
    Stdout(OutputLine) = "stdout";
    /// A line that a step's command wrote to its standard error.
    Stderr(OutputLine) = "stderr";
    /// A task inside a step began.
    TaskStart(Box<TaskStart>) = "task_start";
    /// News from a task.
    TaskUpdate(Box<TaskUpdate>) = "task_update";
    /// A task ended.
    TaskEnd(Box<TaskEnd>) = "task_end";
    /// Nothing was heard from a step for too long.
    Stalled(Stalled) = "stalled";
    /// An attempt to undo a step begins.
    UndoStart(UndoStart) = "undo_start";
    /// Undoing a step ended.
    UndoEnd(Box<UndoEnd>) = "undo_end";
    /// The run ended; it may be resumed where its status allows it.
    RunEnd(Box<RunEnd>) = "run_end";
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Kind {
    /// The step that the event belongs to, if it belongs to one.
    pub fn step(&self) -> Option<&StepRef> {
        match self {
            Self::StepStart(event) => Some(&event.step),
            Self::StepUpdate(event) => Some(&event.step),
            Self::StepRetry(event) => Some(&event.step),
            Self::StepEnd(event) => Some(&event.step),
            Self::Stdout(event) | Self::Stderr(event) => Some(&event.step),
            Self::TaskStart(event) => Some(&event.step),
            Self::TaskUpdate(event) => Some(&event.step),
            Self::TaskEnd(event) => Some(&event.step),
            Self::Stalled(event) => Some(&event.step),
            Self::UndoStart(event) => Some(&event.step),
            Self::UndoEnd(event) => Some(&event.step),
            Self::RunStart(_) | Self::RunResume(_) | Self::RunEnd(_) | Self::Unknown(_) => None,
        }
    }
}

/// A step by its id.
///
/// It also carries where the writer's plan had the step; this is only a hint that saves a search, and no part of the
/// value.
#[derive(Clone)]
pub struct StepRef {
    id: Text,
    hint: usize,
}

impl StepRef {
    /// A step by its id.
    pub fn new(id: impl Into<Text>) -> Self {
        Self { id: id.into(), hint: usize::MAX }
    }

    /// A step by its id, which stands at `hint` in the plan.
    #[inline]
    pub(crate) fn at(id: &'static str, hint: usize) -> Self {
        Self { id: Cow::Borrowed(id), hint }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The position in `plan`.
    #[inline]
    pub(crate) fn find(&self, plan: &Plan) -> Option<usize> {
        match plan.steps.get(self.hint) {
            Some(step) if same_text(&step.id, &self.id) => Some(self.hint),
            _ => plan.position(&self.id),
        }
    }
}

#[inline]
fn same_text(left: &str, right: &str) -> bool {
    // The very same bytes in the usual case, where both are the plan's own id.
    std::ptr::eq(left, right) || left == right
}

impl fmt::Debug for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id)
    }
}

impl PartialEq for StepRef {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for StepRef {}

impl std::hash::Hash for StepRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl PartialEq<str> for StepRef {
    fn eq(&self, other: &str) -> bool {
        self.id == other
    }
}

impl PartialEq<&str> for StepRef {
    fn eq(&self, other: &&str) -> bool {
        self.id == *other
    }
}

impl Serialize for StepRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id)
    }
}

impl<'de> Deserialize<'de> for StepRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for StepRef {
    fn schema_name() -> Cow<'static, str> {
        "StepRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// Declares a small vocabulary: an enum whose names are the same in JSON and in text.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// The word as in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The status of a run.
    RunStatus {
        /// It is going on, or the process that drove it is gone.
        Running = "running",
        /// Every step is completed or skipped; there may be warnings.
        Completed = "completed",
        /// A critical step failed, or the run as a whole did. Can be resumed.
        Failed = "failed",
        /// It was stopped from outside. Can be resumed.
        Cancelled = "cancelled",
        /// Steps are being undone.
        RollingBack = "rolling_back",
        /// Every step that began and can be undone is undone.
        RolledBack = "rolled_back",
        /// An undo failed; somebody has to look. Can be resumed.
        Stuck = "stuck",
    }
}

impl RunStatus {
    /// Whether the run is over, for good or until it is resumed.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Running | Self::RollingBack)
    }

    /// Whether a run in this status can go on.
    pub fn can_resume(self) -> bool {
        !matches!(self, Self::Completed | Self::RolledBack)
    }
}

words! {
    /// The status of a step.
    StepStatus {
        /// It has not started, or will start again.
        Pending = "pending",
        /// An attempt is going on, or the next one is waited for.
        Running = "running",
        /// It did what it is for.
        Completed = "completed",
        /// It failed and stopped the run.
        Failed = "failed",
        /// It was left out on purpose, or it failed without being critical; the reason tells.
        Skipped = "skipped",
        /// It was stopped before its end.
        Cancelled = "cancelled",
        /// Its effect was taken back.
        Undone = "undone",
        /// Its effect could not be taken back.
        UndoFailed = "undo_failed",
    }
}

impl StepStatus {
    /// Whether the run can go past a step in this status.
    #[inline]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped)
    }
}

words! {
    /// Why a step ended as it did.
    Reason {
        /// It failed.
        Failed = "failed",
        /// It was left out on purpose; the message says why.
        Requested = "requested",
        /// Its body panicked.
        Panicked = "panicked",
        /// Its body was dropped before its end, as a cancelled future is.
        Dropped = "dropped",
    }
}

words! {
    /// How much a message matters.
    Level {
        /// For those who look for a fault.
        Debug = "debug",
        /// For everybody.
        Info = "info",
        /// Something is not as it should be.
        Warning = "warning",
        /// Something failed.
        Error = "error",
        /// Something worth saying went well.
        Success = "success",
    }
}

words! {
    /// How a task ended.
    TaskStatus {
        /// It is going on.
        Running = "running",
        /// It did what it is for.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
    }
}

words! {
    /// How undoing a step ended.
    UndoStatus {
        /// The effect was taken back.
        Undone = "undone",
        /// The effect could not be taken back.
        UndoFailed = "undo_failed",
        /// Somebody decided to leave the effect; the message says why.
        Skipped = "skipped",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A field that is there, also where it is `null`: the output of a step may be.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// See [`Kind::RunStart`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunStart {
    /// The steps and their rules.
    #[cfg_attr(feature = "schema", schemars(with = "Plan"))]
    pub plan: SharedPlan,
    /// Who started the run, for which ticket, and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the run works on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub input: Option<Value>,
}

/// See [`Kind::RunResume`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunResume {
    /// Whether the run goes on backwards.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rollback: bool,
    /// The plan, where it changed since the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Plan>"))]
    pub plan: Option<SharedPlan>,
}

/// See [`Kind::StepStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepStart {
    /// The step.
    pub step: StepRef,
    /// Which attempt begins, from 1; goes on counting when a run is resumed.
    pub attempt: u32,
    /// Whether an earlier attempt began and its end is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub interrupted: bool,
}

/// See [`Kind::StepUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepUpdate {
    /// The step.
    pub step: StepRef,
    /// How much of the step is done, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// How much the message matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// For machines.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// See [`Kind::StepRetry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepRetry {
    /// The step.
    pub step: StepRef,
    /// The attempt that failed.
    pub attempt: u32,
    /// How long the next attempt is waited for.
    #[serde(rename = "delay_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub delay: Duration,
    /// Why the attempt failed.
    pub error: ErrorRecord,
}

/// See [`Kind::StepEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepEnd {
    /// The step.
    pub step: StepRef,
    /// How the step ended: completed, failed, skipped or cancelled.
    pub status: StepStatus,
    /// Why, where the status does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it was skipped, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// The attempt that ended; 0 where none began.
    pub attempt: u32,
    /// From the first attempt's start to the end.
    #[serde(rename = "duration_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub duration: Duration,
    /// From the last attempt's start to the end.
    #[serde(rename = "attempt_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub attempt_duration: Duration,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<ErrorRecord>>,
    /// What the step hands on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Box<Value>>,
}

/// See [`Kind::Stdout`] and [`Kind::Stderr`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutputLine {
    /// The step.
    pub step: StepRef,
    /// The line without its end.
    pub line: Text,
}

/// See [`Kind::TaskStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TaskStart {
    /// The step.
    pub step: StepRef,
    /// The task's id, its own within the step.
    pub task: Text,
    /// What a person reads.
    pub name: Text,
}

/// See [`Kind::TaskUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TaskUpdate {
    /// The step.
    pub step: StepRef,
    /// The task's id.
    pub task: Text,
    /// How much of the task is done, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
}

/// See [`Kind::TaskEnd`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TaskEnd {
    /// The step.
    pub step: StepRef,
    /// The task's id.
    pub task: Text,
    /// How the task ended: completed or failed.
    pub status: TaskStatus,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
}

/// See [`Kind::Stalled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Stalled {
    /// The step.
    pub step: StepRef,
    /// How long nothing was heard.
    #[serde(rename = "silent_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub silent: Duration,
}

/// See [`Kind::UndoStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UndoStart {
    /// The step.
    pub step: StepRef,
    /// Which attempt begins, from 1.
    pub attempt: u32,
}

/// See [`Kind::UndoEnd`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UndoEnd {
    /// The step.
    pub step: StepRef,
    /// How it ended.
    pub status: UndoStatus,
    /// From the first attempt's start to the end.
    #[serde(rename = "duration_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub duration: Duration,
    /// Why the undo was skipped, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// See [`Kind::RunEnd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunEnd {
    /// How the run ended.
    pub status: RunStatus,
    /// How many non-critical steps failed.
    #[serde(default)]
    pub warnings: usize,
    /// What is known of the failure, where it is not completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureRecord>,
}

/// An event of a type that this version does not know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Unknown {
    /// The type.
    #[serde(rename = "type")]
    pub name: String,
    /// The fields beside the header.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}
