//! What is kept of an error and of a failed run: data, without the user's types.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Reason, RunStatus, StepRef, StepStatus, Text, UndoStatus};
use crate::run_id::RunId;
use crate::time::{millis, rfc3339};

/// Whether it is known what a failed step changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// The step reported its failure itself: what it did is known.
    #[default]
    Known,
    /// The step may or may not have done what it is for: a timeout, a crash, or an error that says so.
    Unknown,
}

/// An error as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ErrorRecord {
    /// The class of the error, as the error itself gives it.
    pub kind: Text,
    /// The error's own text.
    pub message: String,
    /// The texts of its sources, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// Whether it is known what the step changed.
    #[serde(default)]
    pub effect: Effect,
    /// The failure of the workflow that ran inside the step, where that is what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Box<FailureRecord>>,
}

/// One row of the step table in a [`FailureRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepRecord {
    /// The step.
    pub id: StepRef,
    /// What a person reads.
    pub name: String,
    /// Where it was left.
    pub status: StepStatus,
    /// Where it was left before its effect was taken back, where that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_undo: Option<StepStatus>,
    /// Why, where the status does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why it was skipped, or the text of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many attempts began.
    pub attempts: u32,
    /// From the run's first start to the step's.
    #[serde(rename = "started_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub started: Duration,
    /// From the first attempt's start to the end; zero where none began.
    #[serde(rename = "duration_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub duration: Duration,
}

/// How one undo ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UndoRecord {
    /// The step.
    pub step: StepRef,
    /// How it ended.
    pub status: UndoStatus,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// How a rollback ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RollbackRecord {
    /// `rolled_back` where nothing is left, `stuck` where an undo failed, `rolling_back` where it was cut off.
    pub status: RunStatus,
    /// The undos in the order in which they ran.
    pub undos: Vec<UndoRecord>,
}

/// What is known of a run that did not complete: the failure context without the user's types.
///
/// [`FailureContext`](crate::FailureContext) is the same with the steps as values of their enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FailureRecord {
    /// The run.
    pub run: RunId,
    /// The name of its workflow.
    pub workflow: Text,
    /// The step that failed; absent where the run failed between steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepRef>,
    /// The number of that step, from 1; 0 where there is none.
    pub step_number: usize,
    /// How many steps the plan has.
    pub total_steps: usize,
    /// Which attempt failed, from 1; 0 where none began.
    pub attempt: u32,
    /// What went wrong.
    pub error: ErrorRecord,
    /// When the run first started.
    #[serde(with = "rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub started_at: SystemTime,
    /// When the step first started, or the run where there is no step.
    #[serde(with = "rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub step_started_at: SystemTime,
    /// When it failed.
    #[serde(with = "rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub failed_at: SystemTime,
    /// How long the run took.
    #[serde(rename = "run_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub run_duration: Duration,
    /// How long the step took, all attempts together.
    #[serde(rename = "step_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub step_duration: Duration,
    /// All steps of the plan in order, with where each was left; none where the run was not even opened, as it is in
    /// other hands, or the journal would not have it.
    pub steps: Vec<StepRecord>,
    /// What the step told machines.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// How the rollback ended, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackRecord>,
    /// Why the journal does not have the step's failure, the end of the run or its rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// Where the trace was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_file: Option<PathBuf>,
}
