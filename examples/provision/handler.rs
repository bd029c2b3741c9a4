//! `--drive runner`: a method for each step, and the runner decides when to call it.
//!
//! It tries again, skips, undoes and heeds Ctrl-C by itself; what the workflow declares is all that it needs. So that a
//! Ctrl-C lets the running step finish, and a second one ends it at once, is not written here but asked for.

use std::error::Error;

use serde::Deserialize;
use step_machine::{Cause, OnFailure, Report, Runner, StepContext, Workflow};
use step_machine_examples::cli;
use step_machine_examples::steps::{InstanceInfo, ProvisionStep, ProvisionStepHandler};

use crate::command::{NOT_WANTED, ProvisionCommand};
use crate::drive::Outcome;
use crate::error::ProvisionError;

type Result<T> = std::result::Result<T, ProvisionError>;

impl ProvisionStepHandler for ProvisionCommand {
    type Error = ProvisionError;

    async fn render_open_tofu_templates(&self, cx: &mut StepContext) -> Result<()> {
        self.render_tofu(cx)
    }

    async fn open_tofu_init(&self, cx: &mut StepContext) -> Result<()> {
        self.init(cx).await
    }

    async fn open_tofu_validate(&self, cx: &mut StepContext) -> Result<()> {
        self.validate(cx).await
    }

    async fn open_tofu_plan(&self, cx: &mut StepContext) -> Result<()> {
        self.plan(cx).await
    }

    async fn open_tofu_apply(&self, cx: &mut StepContext) -> Result<()> {
        self.apply(cx).await
    }

    async fn undo_open_tofu_apply(&self, cx: &mut StepContext) -> Result<()> {
        self.destroy(cx).await
    }

    async fn get_instance_info(&self, cx: &mut StepContext) -> Result<InstanceInfo> {
        self.instance(cx).await
    }

    async fn render_ansible_templates(&self, cx: &mut StepContext, instance: &InstanceInfo) -> Result<()> {
        self.render_ansible(instance, cx)
    }

    async fn wait_ssh_connectivity(&self, cx: &mut StepContext, instance: &InstanceInfo) -> Result<()> {
        self.connect(instance, cx)
    }

    async fn skip_cloud_init_wait(&self, _: &mut StepContext) -> Result<Option<String>> {
        Ok((!self.order.cloud_init).then(|| NOT_WANTED.to_owned()))
    }

    async fn cloud_init_wait(&self, cx: &mut StepContext, instance: &InstanceInfo) -> Result<()> {
        self.first_boot(instance, cx).await
    }
}

/// Has the steps run to their end, a failure or a Ctrl-C, and taken back where they did not come to the end.
pub(crate) async fn drive(
    runner: Runner<'_, ProvisionStep, &ProvisionCommand>,
    rollback: bool,
) -> std::result::Result<Outcome, Box<dyn Error>> {
    let runner = runner.ctrl_c();
    let runner = if rollback { runner.rollback_on_cancel() } else { runner.on_failure(OnFailure::Stop) };
    match cli::with_word_of_ctrl_c(runner).await {
        Ok(report) => {
            let instance = instance(&report)?;
            Ok(Outcome::Up(report, instance))
        }
        Err(failure) if cli::is_refused(&failure) => Ok(Outcome::Refused(failure.into_context())),
        Err(failure) => Ok(match failure.into_parts() {
            (context, Cause::Cancelled) => Outcome::Cancelled(context),
            (context, _) => Outcome::Failed(context),
        }),
    }
}

/// Where the instance is, as its step handed it on.
fn instance(report: &Report<ProvisionStep>) -> std::result::Result<InstanceInfo, Box<dyn Error>> {
    let step = report.state().step(ProvisionStep::GetInstanceInfo.id());
    let output = step.and_then(|step| step.output()).ok_or("no step told where the instance is")?;
    Ok(InstanceInfo::deserialize(output)?)
}
