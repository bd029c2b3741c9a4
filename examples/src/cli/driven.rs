//! The options of a flow that the library drives.

use std::convert::Infallible;
use std::future;

use clap::{Args, ValueEnum};
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{OnFailure, Preview, Workflow};

use super::{FlowArgs, Kept, complain, over_live_lines, step_id, step_id_where};

/// What a preview is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanForm {
    /// For people
    #[default]
    Text,
    /// A flowchart of Mermaid
    Mermaid,
    /// The language of Graphviz
    Dot,
    /// For programs
    Json,
}

/// The options of a flow that the library drives.
#[derive(Debug, Clone, Args)]
pub struct DrivenArgs<W: Workflow + Clone> {
    /// Leave a skippable step out
    #[arg(long, value_name = "STEP-ID", value_parser = step_id_where::<W>(|step| step.skippable))]
    pub skip: Vec<W>,
    /// Run no further than this step
    #[arg(long, value_name = "STEP-ID", value_parser = step_id::<W>())]
    pub only_until: Option<W>,
    /// Show what would be done, and do nothing
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, default_missing_value = "text")]
    pub plan: Option<PlanForm>,
    /// Take back what a failed or cancelled run did, which is the default
    #[arg(long, overrides_with = "no_rollback")]
    rollback: bool,
    /// Leave what a failed or cancelled run did, to look into it
    #[arg(long, overrides_with = "rollback")]
    no_rollback: bool,
    /// The change that the run is for, a label of the run
    #[arg(long, value_name = "TICKET")]
    ticket: Option<String>,
    /// Who started the run, a label of the run [default: the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl<W: Workflow + Clone> DrivenArgs<W> {
    /// Whether what a failed or cancelled run did is taken back.
    pub fn rolls_back(&self) -> bool {
        !self.no_rollback
    }

    /// A runner that does what these options say, and keeps and tells its run as those of the flow say.
    pub fn runner<'h, P: HandlerFor<W>>(
        &self,
        flow: &FlowArgs<W>,
        kept: &Kept,
        runner: Runner<'h, W, P>,
    ) -> Runner<'h, W, P> {
        let labels = [("by", self.by.clone().or_else(user_name)), ("ticket", self.ticket.clone())];
        let labels = labels.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let runner = labels.fold(flow.runner(kept, runner), |runner, (key, value)| runner.label(key, value));
        let runner = self.only_until.clone().into_iter().fold(runner, Runner::only_until);
        if self.rolls_back() { runner.rollback_on_cancel() } else { runner.on_failure(OnFailure::Stop) }
    }
}

impl PlanForm {
    /// The preview in this form, without an end of line.
    pub fn write(self, preview: &Preview) -> Result<String, serde_json::Error> {
        let text = match self {
            Self::Text => preview.to_string(),
            Self::Mermaid => preview.to_mermaid(),
            Self::Dot => preview.to_dot(),
            Self::Json => serde_json::to_string_pretty(preview)?,
        };
        Ok(text.trim_end().to_owned())
    }
}

/// Waits for a run that heeds Ctrl-C, and says what the first one does.
pub async fn with_word_of_ctrl_c<T>(run: impl IntoFuture<Output = T>) -> T {
    tokio::select! {
        // The run first: when a Ctrl-C is told of, it has its effect.
        biased;
        ended = run.into_future() => ended,
        never = tell_of_ctrl_c() => match never {},
    }
}

/// Somebody who presses Ctrl-C and sees nothing happen may not know that it was heard.
async fn tell_of_ctrl_c() -> Infallible {
    if tokio::signal::ctrl_c().await.is_ok() {
        // A terminal shows the Ctrl-C itself where the live line of the screen is.
        complain(&format!("{}Ctrl-C: what is running is finished first; once more ends it at once", over_live_lines()));
    }
    future::pending().await
}

fn user_name() -> Option<String> {
    let name = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    name.into_iter().find(|name| !name.is_empty())
}
