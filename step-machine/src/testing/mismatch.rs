//! How a run differs from what a case has to lead to.

use super::case::Injection;
use crate::event::{RunStatus, StepStatus};

/// How a run differs from what a [`Case`](super::Case) has to lead to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// What was to go wrong never began: the step was not reached, or the run was not given the case's faults.
    #[error("nothing was injected: `{injection}` was not reached; give the run `.faults(case.faults())`")]
    NotHit {
        /// What was to go wrong.
        injection: Injection,
    },
    /// The run did not even begin.
    #[error("the run did not begin: {message}")]
    NoRun {
        /// Why.
        message: String,
    },
    /// The run ended otherwise.
    #[error("the run ended as {found}, not as {expected}{}", because(message))]
    Status {
        /// How it had to end.
        expected: RunStatus,
        /// How it ended.
        found: RunStatus,
        /// What stopped it, where something did.
        message: String,
    },
    /// Another step failed, or none.
    #[error("{} failed, not `{expected}`: {message}", named(found.as_deref()))]
    FailedStep {
        /// The step that had to fail.
        expected: &'static str,
        /// The step that failed.
        found: Option<String>,
        /// Why it did.
        message: String,
    },
    /// The step failed for a reason of its own.
    #[error("`{step}` failed by itself: {message}")]
    OtherError {
        /// The step.
        step: &'static str,
        /// What it said.
        message: String,
    },
    /// A step ended otherwise.
    #[error("`{step}` ended as {found}, not as {expected}{}", because(message))]
    StepStatus {
        /// The step.
        step: &'static str,
        /// How it had to end.
        expected: StepStatus,
        /// How it ended.
        found: StepStatus,
        /// What it failed with, where it did.
        message: String,
    },
    /// Other steps were undone, or in another order.
    #[error("undone were {found:?}, not {expected:?}")]
    Undos {
        /// What had to be undone, in this order.
        expected: Vec<&'static str>,
        /// What was.
        found: Vec<&'static str>,
    },
}

fn because(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn named(step: Option<&str>) -> String {
    step.map_or_else(|| "no step".to_owned(), |step| format!("`{step}`"))
}
