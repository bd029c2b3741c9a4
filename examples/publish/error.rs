//! What can go wrong while something is published.

use std::io;
use std::path::PathBuf;

use step_machine::StepError;
use step_machine::process::CommandError;

/// Each error knows its kind. Which step it stopped is none of its business: the run knows.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum PublishError {
    #[error("there is no program `{program}` on the PATH")]
    #[step_error(kind = "missing-program", fatal)]
    NoProgram { program: &'static str, source: CommandError },
    #[error("{what} cannot be read")]
    #[step_error(kind = "source")]
    NoSource { what: String, source: io::Error },
    #[error("git cannot fetch {what}")]
    #[step_error(kind = "source")]
    Git { what: String, source: CommandError },
    #[error("{} cannot be unpacked", .file.display())]
    #[step_error(kind = "source")]
    Unpack { file: PathBuf, source: CommandError },
    #[error("the source has no {file}")]
    #[step_error(kind = "validation", fatal)]
    Missing { file: &'static str, source: io::Error },
    #[error("package.json is not one of a Node.js application")]
    #[step_error(kind = "validation", fatal)]
    Package(#[source] serde_json::Error),
    #[error("the Dockerfile cannot be written")]
    #[step_error(kind = "template-rendering")]
    Template(#[source] minijinja::Error),
    #[error("Dockerfile, line {line}: {text}")]
    #[step_error(kind = "build", fatal)]
    Dockerfile { line: usize, text: String },
    #[error("`docker {verb}` failed")]
    #[step_error(kind = "container-engine")]
    Engine { verb: &'static str, source: CommandError },
    #[error("the engine does not say on which port {container} is")]
    #[step_error(kind = "container-engine")]
    NoPort { container: String },
    #[error("{what} cannot be started")]
    #[step_error(kind = "start")]
    Start { what: String, source: io::Error },
    #[error("the routes cannot be updated")]
    #[step_error(kind = "routing")]
    Routes(#[source] io::Error),
    #[error("{url} does not answer")]
    #[step_error(kind = "health-check")]
    NoAnswer { url: String, source: io::Error },
    #[error("{url} answers with {status}")]
    #[step_error(kind = "health-check")]
    Unhealthy { url: String, status: u16 },
    #[error("cannot {doing}")]
    #[step_error(kind = "storage")]
    Storage { doing: &'static str, source: io::Error },
}

impl PublishError {
    /// A program that there is not is another kind of trouble than one that fails.
    pub(crate) fn of_command(
        program: &'static str,
        source: CommandError,
        failed: impl FnOnce(CommandError) -> Self,
    ) -> Self {
        match source {
            CommandError::NotStarted { .. } => Self::NoProgram { program, source },
            source => failed(source),
        }
    }
}

/// Says what was tried where the operating system says no.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, PublishError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, PublishError> {
        self.map_err(|source| PublishError::Storage { doing, source })
    }
}
