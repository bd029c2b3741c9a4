//! What can go wrong while a project is deployed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use step_machine::StepError;
use step_machine::process::CommandError;
use step_machine_examples::cli::shown;

use crate::stack::Invalid;

/// Each error knows its kind, and whether there is any sense in another attempt.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum ComposeError {
    #[error("the project `{project}` is locked by {owner}; wait for it, or stop it")]
    #[step_error(kind = "locked", fatal)]
    Locked { project: String, owner: String },
    #[error("there is no program `{program}` on the PATH")]
    #[step_error(kind = "missing-program", fatal)]
    NoProgram { program: &'static str, source: CommandError },
    #[error("{repository} cannot be fetched")]
    #[step_error(kind = "fetch")]
    Fetch { repository: String, source: CommandError },
    #[error("`{reference}` is no commit of {repository}; name a branch, a tag or a commit with --ref")]
    #[step_error(kind = "resolution", fatal)]
    NoCommit { reference: String, repository: String, source: CommandError },
    #[error("the commit cannot be checked out to {}", shown(.folder))]
    #[step_error(kind = "worktree")]
    Checkout { folder: PathBuf, source: CommandError },
    #[error("{} cannot be removed", shown(.folder))]
    #[step_error(kind = "worktree")]
    RemoveWorktree { folder: PathBuf, source: CommandError },
    #[error("{} is not valid", shown(.path))]
    #[step_error(kind = "validation", fatal)]
    Invalid { path: PathBuf, source: Invalid },
    #[error("the registry at {address} does not answer")]
    #[step_error(kind = "network-connectivity")]
    Registry { address: SocketAddr, source: io::Error },
    #[error("the registry answers {status} for {path}: {text}")]
    #[step_error(kind = "network-connectivity")]
    Refused { path: String, status: u16, text: String },
    #[error("image {image} was taken out of the registry while it was deployed")]
    #[step_error(kind = "validation", fatal)]
    Withdrawn { image: String },
    #[error("a layer of {image} is damaged: its checksum is {found:.12}.., not {listed:.12}..")]
    #[step_error(kind = "checksum", fatal)]
    Damaged { image: String, found: String, listed: String },
    #[error("image {image} cannot be unpacked")]
    #[step_error(kind = "image")]
    Unpack { image: String, source: CommandError },
    #[error("service `{service}` does not start")]
    #[step_error(kind = "service-start")]
    Start { service: String, source: io::Error },
    #[error("service `{service}` does not end")]
    #[step_error(kind = "service-stop")]
    Stop { service: String, source: io::Error },
    #[error("service `{service}` is not well: nothing answers at {url}")]
    #[step_error(kind = "health-check")]
    Silent { service: String, url: String, source: io::Error },
    #[error("service `{service}` is not well: {url} answers {status}: {text}")]
    #[step_error(kind = "health-check")]
    Unwell { service: String, url: String, status: u16, text: String },
    #[error("the requests cannot be led to {deployment}")]
    #[step_error(kind = "routing", fatal)]
    Route { deployment: String, source: io::Error },
    #[error("{deployment} does not answer through the router yet: it says {answer}")]
    #[step_error(kind = "routing")]
    NotRouted { deployment: String, answer: String },
    #[error("{}", shown(.path))]
    #[step_error(kind = "storage")]
    File { path: PathBuf, source: io::Error },
    #[error("what an earlier step has handed on cannot be read")]
    #[step_error(kind = "journal", fatal)]
    Record(#[from] step_machine::JournalError),
}

impl ComposeError {
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

/// Says which file an error of the operating system is about.
pub(crate) trait At<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, ComposeError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, ComposeError> {
        self.map_err(|source| ComposeError::File { path: path.into(), source })
    }
}
