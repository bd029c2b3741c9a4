//! Chains of steps that do nothing, or wait.

#![allow(missing_docs, clippy::too_many_lines, reason = "written by a program")]

use std::convert::Infallible;
use std::sync::Arc;

use step_machine::{Failure, SqliteJournal, StepContext};
use tokio::sync::Semaphore;

type Done = Result<(), Infallible>;

/// What the steps do: nothing, or wait where runs are to be parked.
#[derive(Clone, Default)]
pub(crate) struct Nothing {
    /// A step of this id waits for a permit.
    pub(crate) gate: Option<(&'static str, Arc<Semaphore>)>,
}

impl Nothing {
    async fn work(&self, cx: &StepContext) -> Done {
        if let Some((_, gate)) = self.gate.as_ref().filter(|(step, _)| *step == cx.step()) {
            // It is never closed.
            let _ = gate.acquire().await;
        }
        Ok(())
    }
}

include!(concat!(env!("OUT_DIR"), "/workflows.rs"));
