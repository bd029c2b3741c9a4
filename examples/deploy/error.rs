//! What can go wrong while a version is deployed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use step_machine::StepError;
use step_machine::process::CommandError;
use step_machine_examples::cli::shown;
use step_machine_examples::template::TemplateError;

use crate::service::StartError;

/// Each error knows its kind, and whether there is any sense in another attempt.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum DeployError {
    #[error("{app} {version} is not released; there is {known}")]
    #[step_error(kind = "validation", fatal)]
    NotReleased { app: String, version: String, known: String },
    #[error("the registry at {address} does not answer")]
    #[step_error(kind = "network-connectivity")]
    Registry { address: SocketAddr, source: io::Error },
    #[error("the registry answers {status} for {file}: {text}")]
    #[step_error(kind = "network-connectivity")]
    Refused { file: String, status: u16, text: String },
    #[error("{file} is damaged: its checksum is {found:.12}.., not {listed:.12}..")]
    #[step_error(kind = "validation", fatal)]
    Damaged { file: String, found: String, listed: String },
    #[error(transparent)]
    #[step_error(transparent)]
    Command(#[from] CommandError),
    #[error("the configuration cannot be written")]
    #[step_error(kind = "template-rendering")]
    Configuration(#[from] TemplateError),
    #[error("{} cannot be given the rights {mode}", shown(.path))]
    #[step_error(kind = "permissions")]
    Rights { path: PathBuf, mode: String, source: io::Error },
    #[error("the service of {} does not start", shown(.folder))]
    #[step_error(kind = "service-start")]
    Start { folder: PathBuf, source: StartError },
    #[error("the service that runs does not end")]
    #[step_error(kind = "service-stop")]
    Stop(#[source] io::Error),
    #[error("nothing answers at {url}")]
    #[step_error(kind = "health-check")]
    Silent { url: String, source: io::Error },
    #[error("{url} answers {status}: {text}")]
    #[step_error(kind = "health-check")]
    Unwell { url: String, status: u16, text: String },
    #[error("{}", shown(.path))]
    #[step_error(kind = "file-system")]
    File { path: PathBuf, source: io::Error },
}

/// Says which file an error of the operating system is about.
pub(crate) trait At<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, DeployError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, DeployError> {
        self.map_err(|source| DeployError::File { path: path.into(), source })
    }
}
