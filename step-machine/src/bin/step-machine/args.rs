//! The command line.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use step_machine::event::RunStatus;

use super::trouble::CODES;

/// Looks into a journal of runs: what ran, what runs now, and how long it takes.
///
/// Reading changes nothing, and no run waits for it. RUN is the id of a run, or a beginning of it that no other run has.
#[derive(Debug, Parser)]
#[command(name = "step-machine", version, after_help = exit_codes(), max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) journal: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn exit_codes() -> String {
    let mut text = "Exit codes:".to_owned();
    for (code, meaning) in CODES {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n  {code:<4} {meaning}");
    }
    text
}

/// Where the journal is.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The journal: a file of SQLite, or `postgres://user@host/database`
    #[arg(long, global = true, env = "STEP_MACHINE_JOURNAL", hide_env_values = true, value_name = "FILE|URL")]
    pub(crate) journal: Option<String>,
    /// The schema of a journal in PostgreSQL, where it is not the user's first one
    #[arg(long, global = true, env = "STEP_MACHINE_SCHEMA", hide_env_values = true, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// Use a file also where its write-ahead log is damaged, without the commits behind the damage, of all runs in it; copy
    /// the file and its `-wal` away before
    #[arg(long, global = true)]
    pub(crate) accept_damaged_log: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists runs, those first of which something was heard last
    Runs(Runs),
    /// Shows one run: its steps, its failure, and what happened when
    Show(Show),
    /// Follows a run until it ends, also one that another process drives
    Tail(Tail),
    /// Tells how long the runs of a workflow take, and what they fail of
    Stats(Stats),
    /// Draws the steps of a run, or of a kept snapshot
    Graph(Graph),
    /// Writes runs for other tools
    Export(Export),
    /// Gives a run up, so that nobody goes on with it
    Abandon(Abandon),
    /// Removes runs that are over, with what is nested in them
    Prune(Prune),
    /// Looks for damage, or for unfinished runs that a workflow of today could not go on with
    Check(Check),
    /// Writes completions for a shell
    Completions(Completions),
    /// Writes the manual page
    Man,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Runs {
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Only runs of these statuses
    #[arg(long, value_name = "STATUS", value_enum, value_delimiter = ',')]
    pub(crate) status: Vec<Status>,
    /// Only runs with this label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) label: Vec<(String, String)>,
    /// Only runs that have not ended and of which, and of what is nested in them, nothing was heard for so long, like `5m`
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "status")]
    pub(crate) stalled: Option<Duration>,
    /// No more than so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one())]
    pub(crate) limit: usize,
    /// With runs that are nested in others, and those that were abandoned
    #[arg(long)]
    pub(crate) all: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run
    pub(crate) run: String,
    /// Without the timeline
    #[arg(long)]
    pub(crate) brief: bool,
    /// One JSON object
    #[arg(long, conflicts_with = "brief")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// The run
    pub(crate) run: String,
    /// Begin with what happened first, not with what happens next
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Events as JSON, one a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// The workflow
    pub(crate) workflow: String,
    /// Only the newest so many runs
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one())]
    pub(crate) limit: usize,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["run", "snapshot"])))]
pub(crate) struct Graph {
    /// The run
    pub(crate) run: Option<String>,
    /// A file that `assert_resumable!` keeps, in place of a run
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub(crate) format: GraphFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For people
    Text,
    /// A flowchart of Mermaid
    Mermaid,
    /// The language of Graphviz
    Dot,
    /// For machines
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The runs
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    /// What is written
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The events, one a line, as `docs/events.schema.json` says
    Json,
    /// The steps, one a line
    Csv,
    /// A trace for each run and a span for each attempt at a step, for a collector of OpenTelemetry
    OtlpJson,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Abandon {
    /// The run
    pub(crate) run: String,
    /// Why, for those who find it so
    #[arg(long, value_name = "REASON")]
    pub(crate) why: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Only runs whose last event is longer ago, like `90d`
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) older_than: Duration,
    /// Only tell which runs that are
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With `--dry-run`: one JSON object a line
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Whether runs that have not completed could go on with the workflow of this file, which `assert_resumable!` keeps
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Only this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// What is found, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// The status of a run, in the words of events.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    Completed,
    Failed,
    Cancelled,
    RollingBack,
    RolledBack,
    Stuck,
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::RollingBack => Self::RollingBack,
            Status::RolledBack => Self::RolledBack,
            Status::Stuck => Self::Stuck,
        }
    }
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a span like `5m`, `36h` or `90d`"))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a label as KEY=VALUE".to_owned()),
    }
}
