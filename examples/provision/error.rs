//! What can go wrong while an instance is brought up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use step_machine::StepError;
use step_machine::process::CommandError;
use step_machine_examples::instance::AskError;
use step_machine_examples::template::TemplateError;

/// Each error knows its kind. Which step it stopped is none of its business: the run knows.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum ProvisionError {
    #[error("the templates of {tool} cannot be rendered")]
    #[step_error(kind = "template-rendering")]
    Template { tool: &'static str, source: TemplateError },
    #[error("`tofu {verb}` cannot be run")]
    #[step_error(kind = "command-execution")]
    Command { verb: &'static str, source: CommandError },
    #[error("`tofu {verb}` failed")]
    #[step_error(kind = "infrastructure-provisioning")]
    Infrastructure { verb: &'static str, source: CommandError },
    #[error("the outputs of OpenTofu do not say where the instance is")]
    #[step_error(kind = "infrastructure-provisioning")]
    Outputs(#[source] serde_json::Error),
    #[error("nothing answers at {address}")]
    #[step_error(kind = "network-connectivity")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("the first boot of the instance failed")]
    #[step_error(kind = "configuration")]
    FirstBoot(#[source] AskError),
    #[error("the first boot of the instance was not finished within {limit:?}")]
    #[step_error(kind = "timeout", unknown_effect)]
    FirstBootTimeout { limit: Duration },
    #[error("the disk of the instance cannot be removed")]
    #[step_error(kind = "infrastructure-provisioning")]
    Leftover(#[source] io::Error),
}

impl ProvisionError {
    /// A `tofu` that says no is another kind of trouble than one that does not run.
    pub(crate) fn of_tofu(verb: &'static str, source: CommandError) -> Self {
        match source {
            CommandError::Failed { .. } => Self::Infrastructure { verb, source },
            _ => Self::Command { verb, source },
        }
    }
}
