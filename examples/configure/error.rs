//! What can go wrong while an instance is set up.

use step_machine::StepError;
use step_machine_examples::instance::AskError;
use step_machine_examples::template::TemplateError;

/// Each error knows its kind. Which step it stopped is none of its business: the run knows.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum ConfigureError {
    #[error("a template cannot be rendered")]
    #[step_error(kind = "template-rendering")]
    Template(#[from] TemplateError),
    #[error("the instance does not answer")]
    #[step_error(kind = "network-connectivity", unknown_effect)]
    Unreachable(#[source] AskError),
    #[error("package {package} cannot be installed")]
    #[step_error(kind = "command-execution")]
    Install { package: &'static str, source: AskError },
    #[error("the instance does not take the configuration of {what}")]
    #[step_error(kind = "configuration")]
    Configuration { what: &'static str, source: AskError },
    #[error("the variables cannot be read")]
    #[step_error(kind = "configuration")]
    Variables(#[source] std::io::Error),
}
