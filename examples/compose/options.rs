//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use step_machine_examples::cli::{self, DrivenArgs, FlowArgs};
use step_machine_examples::steps::ComposeStep;

use crate::consume::ConsumerArgs;
use crate::place::Place;

// Below `target`, so that a clean clone stays clean and `cargo clean` takes the services with it.
const DEFAULT_DIR: &str = "target/step-machine-compose";
const PROJECT: &str = "shop";

/// Deploy the services of a commit on this machine, in the place of those that run.
///
/// Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 completed with warnings under --strict, 130 cancelled by Ctrl-C.
/// A failed or cancelled deployment is taken back: the version before answers again. The first Ctrl-C lets the running
/// step finish, the second one cuts it off. One whose process died goes on with --resume.
/// Without --repository a small shop is deployed, whose tags are v1.0.0 and v2.0.0. What is deployed ends with
/// `compose stop`, when its folder is removed, or when nobody asked it anything for 15 minutes.
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
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The project, of which one deployment runs at a time [default: the one of the folder, or `shop`]
    #[arg(long, value_parser = name, conflicts_with = "resume")]
    pub(crate) project: Option<String>,
    /// The repository, by its path or URL; its commits have a `compose.json` [default: one that is made in the folder]
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "resume")]
    pub(crate) repository: Option<String>,
    /// The branch, tag or commit that is deployed
    #[arg(long = "ref", value_name = "REF", default_value = "main", conflicts_with = "resume")]
    pub(crate) reference: String,
    /// Pull no more kilobytes a second, to see how that goes on a slow line
    #[arg(long, value_name = "KILOBYTES", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) bandwidth: Option<u64>,
    #[command(flatten)]
    pub(crate) flow: FlowArgs<ComposeStep>,
    #[command(flatten)]
    pub(crate) driven: DrivenArgs<ComposeStep>,
    #[command(flatten)]
    pub(crate) consumers: ConsumerArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// The folder of the project; it is made where it does not exist
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Other {
    /// End all that is deployed, and remove it
    Stop {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Put an image into the registry, which serves a page with its name
    Image {
        /// Its name and tag, as in `web:3.0.0`
        #[arg(value_parser = image)]
        image: String,
        /// How large it is, beside what all images have
        #[arg(long, value_name = "KILOBYTES", default_value_t = 256)]
        size: u16,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// What the processes of a deployment run
    #[command(hide = true)]
    Serve { what: Served, folder: PathBuf },
    /// Serve the files of a registry
    #[command(hide = true)]
    Registry { folder: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Served {
    Router,
    Service,
}

/// What is deployed, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) project: String,
    pub(crate) deployment: String,
    pub(crate) repository: String,
    pub(crate) reference: String,
}

impl Options {
    /// The project that is meant, where another one may live in the folder.
    pub(crate) fn project(&self, there: Option<&str>) -> String {
        self.project.as_deref().or(there).unwrap_or(PROJECT).to_owned()
    }

    pub(crate) fn order(&self, place: &Place, project: String, deployment: String) -> Order {
        let own = || place.repository().display().to_string();
        let repository = self.repository.as_deref().map_or_else(own, in_full);
        Order { project, deployment, repository, reference: self.reference.clone() }
    }
}

/// A path that does not depend on where it is read; a URL as it is.
fn in_full(repository: &str) -> String {
    let path = Path::new(repository);
    let absolute = std::path::absolute(path).ok().filter(|_| path.exists());
    absolute.map_or_else(|| repository.to_owned(), |path| path.display().to_string())
}

impl PlaceArgs {
    /// What a person types to run this example on the same folder.
    pub(crate) fn command_line(&self, arguments: &str) -> String {
        let is_default = self.dir == Path::new(DEFAULT_DIR);
        cli::command_line("compose", arguments, (!is_default).then_some(("--dir", &*self.dir)))
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits && text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a name has small letters, digits and `-`, and begins with a letter")
    }
}

fn image(text: &str) -> Result<String, &'static str> {
    let is_plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match text.split_once(':') {
        Some((name, tag)) if is_plain(name) && is_plain(tag) => Ok(text.to_owned()),
        _ => Err("an image has a name and a tag, as in `web:3.0.0`"),
    }
}
