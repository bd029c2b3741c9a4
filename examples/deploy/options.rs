//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use step_machine_examples::cli::{self, DrivenArgs, FlowArgs};
use step_machine_examples::steps::DeployStep;

use crate::deployer::Deployer;
use crate::place::{Identity, Place};
use crate::registry::Nature;

// Below `target`, so that a clean clone stays clean and `cargo clean` takes the service with it.
const DEFAULT_DIR: &str = "target/step-machine-deploy";
const APP: &str = "shop";
const VERSION: &str = "1.0.0";

/// Deploy a version of a service on this machine, in the place of the one that runs.
///
/// Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 completed with warnings under --strict, 130 cancelled by Ctrl-C.
/// A failed or cancelled deployment is taken back: the version before answers again. The first Ctrl-C lets the running
/// step finish, the second one cuts it off. One whose process died goes on with --resume.
/// A version that is not in the registry yet is made and released on the way; `deploy release` makes special ones. The
/// service goes on until `deploy stop`, until its folder is removed, or for four hours.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Args)]
pub(crate) struct Options {
    /// The application
    #[arg(default_value = APP, value_parser = name, requires = "version", conflicts_with = "resume")]
    pub(crate) app: String,
    /// The version
    #[arg(default_value = VERSION, value_parser = name)]
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The path of the URL that is asked whether the new version is well
    #[arg(long, value_name = "PATH", default_value = "/health", value_parser = url_path, conflicts_with = "resume")]
    pub(crate) health_check: String,
    #[command(flatten)]
    pub(crate) flow: FlowArgs<DeployStep>,
    #[command(flatten)]
    pub(crate) driven: DrivenArgs<DeployStep>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// The folder that is deployed to; it is made where it does not exist
    #[arg(long = "deploy-path", alias = "dir", value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Other {
    /// Make a version and put it into the registry
    Release {
        /// The version
        #[arg(value_parser = name)]
        version: String,
        /// The application
        #[arg(long, default_value = APP, value_parser = name)]
        app: String,
        #[command(flatten)]
        nature: Nature,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// End the service; what is deployed stays deployed
    Stop {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Be the service of a folder
    #[command(hide = true)]
    Serve { dir: PathBuf, start: String },
    /// Serve the files of a registry
    #[command(hide = true)]
    Registry { folder: PathBuf },
}

/// What is deployed, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) app: String,
    pub(crate) version: String,
    pub(crate) deploy_path: PathBuf,
    pub(crate) health_check: String,
}

impl Options {
    pub(crate) fn order(&self, place: &Place) -> Order {
        let (app, version, health_check) = (self.app.clone(), self.version.clone(), self.health_check.clone());
        Order { app, version, deploy_path: place.root().to_owned(), health_check }
    }
}

impl Order {
    pub(crate) fn deployer(&self, identity: Identity, place: Place, registry: SocketAddr) -> Deployer {
        let (version, health_check) = (self.version.clone(), self.health_check.clone());
        Deployer { place, identity, version, health_check, registry }
    }
}

impl PlaceArgs {
    /// What a person types to run this example on the same folder.
    pub(crate) fn command_line(&self, arguments: &str) -> String {
        let is_default = self.dir == Path::new(DEFAULT_DIR);
        cli::command_line("deploy", arguments, (!is_default).then_some(("--deploy-path", &*self.dir)))
    }
}

/// What becomes the name of a file or folder.
fn name(text: &str) -> Result<String, &'static str> {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_plain && begins_well { Ok(text.to_owned()) } else { Err("letters, digits, and `.-+_` between them") }
}

fn url_path(text: &str) -> Result<String, &'static str> {
    let is_plain = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err("a path begins with `/` and has no blanks") }
}
