//! What each kind of event carries.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{ErrorRecord, FailureRecord, Level, Reason, RunStatus, StepRef, StepStatus, TaskStatus, Text, UndoStatus};
use crate::run_id::RunId;
use crate::time::millis;
#[cfg(feature = "schema")]
use crate::workflow::Plan;
use crate::workflow::{SharedPlan, is_false};

/// A field that is there, also where it is `null`: the output of a step may be.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// See [`Kind::RunStart`](super::Kind::RunStart).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunStart {
    /// The steps and their rules.
    #[cfg_attr(feature = "schema", schemars(with = "Plan"))]
    pub plan: SharedPlan,
    /// The step of another run that this one is nested in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that this one began as a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
    /// Who started the run, for which ticket, and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the run works on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub input: Option<Value>,
}

/// The run that another one began as a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Forked {
    /// The run whose outputs this one took over.
    pub run: RunId,
    /// The step that it began with: this one and what comes after it or needs it was not taken over.
    pub step: StepRef,
}

/// The step that a nested run is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Parent {
    /// The run that the step belongs to.
    pub run: RunId,
    /// The step.
    pub step: StepRef,
    /// The attempt of that step in which the run began, or began to do all of it again; the first where it is absent.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_first(attempt: &u32) -> bool {
    *attempt == first()
}

/// See [`Kind::RunResume`](super::Kind::RunResume).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunResume {
    /// Whether the run goes on backwards.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rollback: bool,
    /// The plan that the run goes on by; the one that it had where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Plan>"))]
    pub plan: Option<SharedPlan>,
    /// The steps that began, or are settled without, and are to run again from their start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<StepRef>,
    /// Of a nested run that does all of it again: the attempt of the step that it is a part of, which asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_attempt: Option<u32>,
}

/// See [`Kind::StepStart`](super::Kind::StepStart).
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

/// See [`Kind::StepUpdate`](super::Kind::StepUpdate).
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
    /// How many fractions the step told before this one, since the last event that has one, and nobody is told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub thinned: u64,
}

impl StepUpdate {
    /// One that tells nothing yet.
    pub(crate) fn of(step: StepRef) -> Self {
        Self { step, fraction: None, level: None, message: None, metadata: Map::new(), thinned: 0 }
    }
}

/// See [`Kind::StepRetry`](super::Kind::StepRetry).
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

/// See [`Kind::StepEnd`](super::Kind::StepEnd).
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
    /// Whether the step handed on something that is secret: then this event is without its output.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    /// In a journal, what a secret output was sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Box<str>>,
}

/// See [`Kind::Stdout`](super::Kind::Stdout) and [`Kind::Stderr`](super::Kind::Stderr).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutputLine {
    /// The step.
    pub step: StepRef,
    /// The line without its end.
    pub line: Text,
}

/// See [`Kind::TaskStart`](super::Kind::TaskStart).
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

/// See [`Kind::TaskUpdate`](super::Kind::TaskUpdate).
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
    /// How many fractions the task told before this one, since the last event that has one, and nobody is told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub thinned: u64,
}

/// See [`Kind::TaskEnd`](super::Kind::TaskEnd).
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

/// See [`Kind::Stalled`](super::Kind::Stalled).
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

/// See [`Kind::UndoStart`](super::Kind::UndoStart).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UndoStart {
    /// The step.
    pub step: StepRef,
    /// Which attempt begins, from 1.
    pub attempt: u32,
}

/// See [`Kind::UndoEnd`](super::Kind::UndoEnd).
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

/// See [`Kind::RunEnd`](super::Kind::RunEnd).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunEnd {
    /// How the run ended.
    pub status: RunStatus,
    /// Why, where the status does not say it: `requested` where the run was to go only so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
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
