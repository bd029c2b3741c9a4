//! The command line of `publish`.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use step_machine::Workflow;
use step_machine_examples::cli::{self, CrashPoint, Format, KeepArgs, PlanForm, StallArgs, crash_point, step_paths};

use crate::job::Usage;
use crate::source::Source;
use crate::steps::{DockerStep, PublishNodejsStep, PublishStaticStep};

const DEFAULT_DIR: &str = "target/step-machine-publish";

/// Publish an application on this machine: http://127.0.0.1:PORT/APP/ answers.
///
/// Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 completed with warnings under --strict, 130 cancelled by Ctrl-C.
/// What a failed or cancelled run has done is taken back, and the previous version goes on answering. One Ctrl-C waits
/// for the step that runs, a second one does not. A run whose process died goes on with --resume. What is published ends with `publish stop`, when its folder is
/// removed, or when nobody asked it anything for 15 minutes.
#[derive(Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Publish files as they are
    Static(Order<PublishStaticStep>),
    /// Publish the container of a Dockerfile
    Docker(Order<DockerStep>),
    /// Publish a Node.js application in a container
    Nodejs(Order<PublishNodejsStep>),
    /// Bring the source here and go no further: the beginning of `static`
    Source(Order<OnlySource>),
    /// End all that is published, and remove it
    Stop {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// What the processes of a publication run
    #[command(hide = true)]
    Serve { what: Served, folder: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Served {
    Router,
    Container,
}

#[derive(Args)]
pub(crate) struct PlaceArgs {
    /// The folder of the platform; it is made where it does not exist
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
}

impl PlaceArgs {
    /// What a person types to run this example on the same folder.
    pub(crate) fn command_line(&self, arguments: &str) -> String {
        let is_default = self.dir == Path::new(DEFAULT_DIR);
        cli::command_line("publish", arguments, (!is_default).then_some(("--dir", &*self.dir)))
    }
}

/// What is to be published, and how the run is told.
#[derive(Args)]
pub(crate) struct Order<K: Kind> {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) flow: Flow,
    /// Break what this step works with, to see it fail; an unknown one lists them all
    #[arg(long, value_name = "STEP", env = "PUBLISH_FAIL_AT", value_parser = step_path::<K>(), hide_possible_values = true)]
    pub(crate) fail_at: Option<String>,
    /// Die at this step as by `kill -9`, to see the run go on with --resume. `before` its body does anything, `during` it,
    /// `after` it but before that is known, which is the default, or as late in its `undo`
    #[arg(long, value_name = "STEP[:WHEN]", value_parser = crash_point(K::paths()))]
    pub(crate) crash_at: Option<CrashPoint>,
    #[arg(skip)]
    kind: PhantomData<K>,
}

#[derive(Args)]
pub(crate) struct Flow {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The name of the application, which is also its path
    #[arg(long, default_value = "shop", value_parser = name, conflicts_with = "resume")]
    pub(crate) app: String,
    /// How the run is told
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Show what would be done, and do nothing
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, default_missing_value = "text")]
    pub(crate) plan: Option<PlanForm>,
    /// Use the Docker engine, and not folders and processes in the place of images and containers
    #[arg(long)]
    pub(crate) docker: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) stalled: StallArgs,
    /// Where the traces of failures go [default: the folder `traces` of the platform]
    #[arg(long, value_name = "DIR")]
    pub(crate) trace_dir: Option<PathBuf>,
    /// End with exit code 3 where the run completed with warnings
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Where the source comes from.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// Where the source comes from
    #[arg(long, value_enum, default_value = "embedded", conflicts_with = "resume")]
    source: SourceKind,
    /// With `git`: the repository, by its path or URL
    #[arg(long, required_if_eq("source", "git"))]
    repository: Option<String>,
    /// With `git`: the branch; without one, that which the repository names
    #[arg(long)]
    branch: Option<String>,
    /// With `upload`: the archive
    #[arg(long, value_name = "TAR.GZ", required_if_eq("source", "upload"))]
    file: Option<PathBuf>,
    /// With `bucket`: its folder
    #[arg(long, value_name = "DIR", required_if_eq("source", "bucket"))]
    bucket: Option<PathBuf>,
    /// With `bucket`: the key that the objects are below
    #[arg(long, required_if_eq("source", "bucket"))]
    key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    /// A git repository
    Git,
    /// An archive
    Upload,
    /// A folder with keys
    Bucket,
    /// The files that the program brings along
    Embedded,
}

impl SourceArgs {
    pub(crate) fn source(&self) -> Result<Source, Usage> {
        self.check()?;
        let Self { source, repository, branch, file, bucket, key } = self;
        Ok(match source {
            SourceKind::Git => {
                Source::Git { repository: repository.clone().unwrap_or_default(), branch: branch.clone() }
            }
            SourceKind::Upload => Source::Upload { file: file.clone().unwrap_or_default() },
            SourceKind::Bucket => {
                Source::Bucket { bucket: bucket.clone().unwrap_or_default(), key: key.clone().unwrap_or_default() }
            }
            SourceKind::Embedded => Source::Embedded { name: "shop".to_owned() },
        })
    }

    /// What belongs to another source would have no effect, and something else would be published.
    fn check(&self) -> Result<(), Usage> {
        let git = self.source == SourceKind::Git;
        let bucket = self.source == SourceKind::Bucket;
        let options = [
            ("repository", self.repository.is_some(), "git", git),
            ("branch", self.branch.is_some(), "git", git),
            ("file", self.file.is_some(), "upload", self.source == SourceKind::Upload),
            ("bucket", self.bucket.is_some(), "bucket", bucket),
            ("key", self.key.is_some(), "bucket", bucket),
        ];
        let lost = options.into_iter().find(|(_, is_given, _, fits)| *is_given && !fits);
        lost.map_or(Ok(()), |(option, _, kind, _)| Err(Usage::OtherSource { option, kind }))
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

/// What can be published, with the steps at which that can fail.
pub(crate) trait Kind: Clone + Send + Sync + 'static {
    /// The workflow.
    const WORKFLOW: &str;
    /// The command that publishes it.
    const COMMAND: &str;

    /// The ids of the steps, those of nested workflows after that of their step.
    fn paths() -> Vec<PossibleValue>;
}

impl<W: Workflow + Clone + Send + Sync> Kind for W {
    const WORKFLOW: &str = W::NAME;
    // The workflows have the names of their commands.
    const COMMAND: &str = W::NAME;

    fn paths() -> Vec<PossibleValue> {
        step_paths(W::plan())
    }
}

/// As much of `static` as brings the source here.
#[derive(Clone)]
pub(crate) struct OnlySource;

impl Kind for OnlySource {
    const WORKFLOW: &str = PublishStaticStep::NAME;
    const COMMAND: &str = "source";

    fn paths() -> Vec<PossibleValue> {
        let mut paths = PublishStaticStep::paths();
        paths.retain(|path| path.get_name().starts_with("pull-source/"));
        paths
    }
}

fn step_path<K: Kind>() -> PossibleValuesParser {
    PossibleValuesParser::new(K::paths())
}
