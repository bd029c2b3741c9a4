//! What may come out of it.

use std::fmt;
use std::time::Duration;

use super::Death;
use crate::event::RunStatus;
use crate::journal::JournalError;

/// What is wrong with a run that went on after a crash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Crashing {
    /// A step that was settled ran again.
    #[error("`{step}` was settled and ran again")]
    RanAgain {
        /// The step.
        step: String,
    },
    /// The run ended otherwise than the one without a crash.
    #[error("the run ended as {found}, without a crash as {expected}")]
    Ended {
        /// How it ends without a crash.
        expected: RunStatus,
        /// How it ended.
        found: RunStatus,
    },
    /// A step ended otherwise than without a crash.
    #[error("`{step}` ended otherwise than without a crash")]
    Step {
        /// The step.
        step: String,
    },
    /// A step handed on something else than without a crash.
    #[error("`{step}` handed on {found}, without a crash {expected}; if it may, say so: `crash.may_vary(..)`")]
    Output {
        /// The step.
        step: String,
        /// What it hands on without a crash.
        expected: String,
        /// What it handed on.
        found: String,
    },
    /// The journal does not have the run.
    #[error("the run did not begin: {message}")]
    NoRun {
        /// Why.
        message: String,
    },
    /// What was recorded is no legal run.
    #[error("the record is no legal run: {message}")]
    Record {
        /// Why.
        message: String,
    },
    /// The journal failed by itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What [`crash_everywhere`](super::crash_everywhere) went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crashed {
    pub(super) writes: usize,
}

impl Crashed {
    /// How many writes to the journal a run without a crash makes; at each of them the process died in all ways.
    pub fn writes(&self) -> usize {
        self.writes
    }
}

/// Why [`crash_everywhere`](super::crash_everywhere) did not come to its end.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CrashError {
    /// The run did not go as it had to.
    #[error("{}: {crashing}", place(.death.as_ref()))]
    Mismatch {
        /// When the process died, where it did.
        death: Option<Death>,
        /// What is wrong.
        crashing: Crashing,
    },
    /// Nothing was run.
    #[error("{}: nothing was run; call `crash.run(..).await?` or `crash.drive(..).await?`", place(.death.as_ref()))]
    NotRun {
        /// When the process was to die.
        death: Option<Death>,
    },
    /// The case panicked, for one because an assertion does not hold. The panic's text was printed when it happened.
    #[error("{}: it panicked", place(.death.as_ref()))]
    Panicked {
        /// When the process died, where it did.
        death: Option<Death>,
    },
    /// The case took too long.
    #[error("{}: it took longer than {limit:?}", place(.death.as_ref()))]
    TooLong {
        /// When the process died, where it did.
        death: Option<Death>,
        /// How long it may take.
        limit: Duration,
    },
}

fn place(death: Option<&Death>) -> String {
    death.map_or_else(|| "without a crash".to_owned(), Death::to_string)
}

/// Its text: what a test ends with that unwraps it.
impl fmt::Debug for CrashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
