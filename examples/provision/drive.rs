//! Who walks the steps, and how that may end.

use std::error::Error;

use clap::ValueEnum;
use step_machine::observe::Callbacks;
use step_machine::{FailureContext, MachineBuilder, Report, RunId, Runner};
use step_machine_examples::cli::{FlowArgs, Kept};
use step_machine_examples::steps::{InstanceInfo, ProvisionStep};

use crate::command::ProvisionCommand;
use crate::sabotage::Saboteur;
use crate::{handler, machine};

/// Who walks the steps. What the steps do is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drive {
    /// The machine: one typed call for each step. A Ctrl-C ends the running step at once, and removes all that was made;
    /// while a failed run is taken back, a Ctrl-C has no effect
    #[default]
    Machine,
    /// The runner: one method for each step. A Ctrl-C lets the running step finish and then takes back the run, a second
    /// one ends the step at once; likewise the first lets a rollback go on, and the second cuts it off
    Runner,
}

/// How a run ended.
pub(crate) enum Outcome {
    Up(Report<ProvisionStep>, InstanceInfo),
    Failed(FailureContext<ProvisionStep>),
    /// The journal refused it, or it was taken over: what there is is another's.
    Refused(FailureContext<ProvisionStep>),
    Cancelled(FailureContext<ProvisionStep>),
    /// It was cancelled, and what it had made was removed from outside of it.
    Removed(FailureContext<ProvisionStep>),
    /// It was cancelled, and the journal does not have that.
    Unrecorded(RunId),
}

impl Drive {
    /// Runs the command to whatever end it comes to.
    pub(crate) async fn run(
        self,
        command: &ProvisionCommand,
        flow: &FlowArgs<ProvisionStep>,
        kept: &Kept,
        saving: Option<Callbacks>,
        rollback: bool,
    ) -> Result<Outcome, Box<dyn Error>> {
        if let Some(failure) = kept.was_taken_back() {
            return Ok(Outcome::Failed(failure));
        }
        let (folder, saboteur) = (command.site.root().display(), Saboteur::new(flow.fail_at, command));
        match self {
            Self::Machine => {
                let machine = flow.machine(kept, ProvisionStep::machine()).exclusive(format!("{folder}"));
                let machine = machine.input(command.order).observe(saboteur);
                let machine = saving.into_iter().fold(machine, MachineBuilder::observe);
                if kept.goes_back() {
                    machine::take_back(command, machine.begin_rollback()?).await
                } else {
                    machine::drive(command, machine, kept, rollback).await
                }
            }
            Self::Runner => {
                let runner = flow.runner(kept, ProvisionStep::run(command)).exclusive(format!("{folder}"));
                let runner = runner.input(command.order).observe(saboteur);
                let runner = saving.into_iter().fold(runner, Runner::observe);
                handler::drive(runner, rollback).await
            }
        }
    }
}
