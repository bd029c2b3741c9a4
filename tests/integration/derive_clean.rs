//! Enums and errors as a strict crate has them: nothing that a derive writes may draw a warning.
//!
//! There is nothing to run here. That this compiles under the lints that `main.rs` puts on it is the test.

use std::time::Duration;

use step_machine::runner::HandlerFor;
use step_machine::{StepContext, StepError, Workflow};

/// What runs inside of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Workflow)]
pub enum Inner {
    /// The only one.
    Only,
}

/// A workflow with all the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Workflow)]
#[workflow(name = "clean", on_failure = "rollback", deadline = "2h", steps = clean_steps, handler = CleanHandler)]
pub enum Clean {
    /// Has an output.
    #[step(output = Vec<u8>, undo, weight = 3)]
    Fetch,
    /// Is tried again.
    #[step(
        retry(attempts = 3, delay = "1s", factor = 1.5, max_delay = "9s", jitter = false),
        timeout = "1m",
        deadline = "5m",
        stalled_after = "30s",
        needs(Fetch)
    )]
    Build,
    /// May be left out.
    #[step(skippable, critical = false, output = Option<String>, id = "scan-it", alias = "scan", name = "Scan it")]
    Scan,
    /// Runs another workflow.
    #[step(workflow = Inner)]
    Nested,
}

/// Handles all of it, as one writes it.
#[derive(Debug)]
pub struct Handled {
    inner: HandledInner,
}

impl CleanHandler for Handled {
    type Error = CleanError;

    async fn fetch(&self, _: &mut StepContext) -> Result<Vec<u8>, CleanError> {
        Ok(Vec::new())
    }

    async fn undo_fetch(&self, _: &mut StepContext, _: Option<&Vec<u8>>) -> Result<(), CleanError> {
        Ok(())
    }

    async fn build(&self, _: &mut StepContext, _: &Vec<u8>) -> Result<(), CleanError> {
        Ok(())
    }

    async fn scan(&self, _: &mut StepContext) -> Result<Option<String>, CleanError> {
        Ok(None)
    }

    async fn skip_scan(&self, _: &mut StepContext) -> Result<Option<String>, CleanError> {
        Ok(None)
    }

    fn nested(&self) -> impl HandlerFor<Inner> {
        &self.inner
    }
}

/// Handles what is nested.
#[derive(Debug)]
pub struct HandledInner;

impl InnerHandler for HandledInner {
    type Error = CleanError;

    async fn only(&self, _: &mut StepContext) -> Result<(), CleanError> {
        Ok(())
    }
}

/// A workflow whose steps run as soon as they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Workflow)]
#[workflow(parallel)]
pub enum CleanParallel {
    /// Needs nothing.
    One,
    /// Needs nothing either.
    Two,
    /// Needs both.
    #[step(needs(One, Two))]
    Both,
}

/// A keyword and a name that is no camel case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Workflow)]
pub(crate) enum Odd {
    /// An abbreviation.
    WaitSSH,
    /// A number.
    S3,
}

/// An error with all the vocabulary.
#[derive(Debug, thiserror::Error, StepError)]
pub enum CleanError {
    /// Says nothing of itself.
    #[error("plain")]
    Plain,
    /// Is of a kind.
    #[error("kind")]
    #[step_error(kind = "of-a-kind", fatal, unknown_effect)]
    Kind(#[source] std::io::Error),
    /// Names its wait.
    #[error("busy")]
    #[step_error(retry_after = wait)]
    Busy {
        /// How long.
        wait: Option<Duration>,
    },
    /// Is another error.
    #[error(transparent)]
    #[step_error(transparent)]
    Other(#[from] CleanStruct),
}

/// A struct that is an error.
#[derive(Debug, thiserror::Error, StepError)]
#[error("{reason}")]
#[step_error(kind = "struct")]
pub struct CleanStruct {
    /// Why.
    pub reason: String,
}

/// An error around another one.
#[derive(Debug, thiserror::Error, StepError)]
pub enum CleanGeneric<E: StepError> {
    /// The other one.
    #[error("inside")]
    #[step_error(transparent)]
    Inside(E),
}
