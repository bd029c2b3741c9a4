//! When a step of which nothing is heard counts as stalled.

use std::time::Duration;

use clap::Args;
use step_machine::Workflow;
use step_machine::runner::{HandlerFor, Runner};

/// In seconds: who publishes asks after five minutes what is wrong.
const SILENCE: u64 = 5 * 60;

/// When a step of which nothing is heard counts as stalled.
#[derive(Debug, Clone, Args)]
pub struct StallArgs {
    /// The silence of a step, in seconds, after which it counts as stalled
    #[arg(long, value_name = "SECONDS", default_value_t = SILENCE)]
    stalled_after: u64,
}

impl Default for StallArgs {
    /// As where the command line says nothing.
    fn default() -> Self {
        Self { stalled_after: SILENCE }
    }
}

impl StallArgs {
    /// A runner that tells of each silence that is as long.
    pub fn runner<'h, W: Workflow, P: HandlerFor<W>>(&self, runner: Runner<'h, W, P>) -> Runner<'h, W, P> {
        runner.stalled_after(Duration::from_secs(self.stalled_after))
    }
}
