//! Why no run can begin or go on.

use std::path::PathBuf;

use step_machine::journal::Owner;
use step_machine::{JournalError, RunId};

use super::metrics::MetricsError;

/// Why no run can begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The journal says no.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder of the journal cannot be made.
    #[error("{}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The metrics of the run cannot be shown.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A server has no log of ours.
    #[error("--accept-damaged-log is for a file; a server sees to its log itself")]
    NoLog,
    /// The build knows files only.
    #[cfg(not(feature = "postgres"))]
    #[error("this build keeps runs in files only; for a journal in PostgreSQL, `cargo run --features postgres`")]
    NoServer,
    /// A URL that names no database which is known.
    #[error("a journal is a file, `none`, or a database as in `postgres://user@host/database`")]
    NoPlace,
    /// There is no journal to look into.
    #[error("--resume needs the journal that the run was kept in, and --journal none says that there is none")]
    NoJournal,
    /// No run can go on.
    #[error("no run of `{workflow}` in {folder} can go on{}", listed_or(.runs, "; start one without --resume"))]
    Nothing {
        /// The workflow.
        workflow: &'static str,
        /// Where it works.
        folder: String,
        /// The runs that there are.
        runs: Vec<String>,
    },
    /// The run that is named is not kept here.
    #[error("run {run} is not in the journal; `step-machine runs{journal}` lists those that are")]
    Unknown {
        /// The run.
        run: RunId,
        /// The option that names the journal.
        journal: String,
    },
    /// A process is at work in the folder.
    #[error("run {run} is driven by {owner}; wait for it, or stop it")]
    Driven {
        /// The run.
        run: RunId,
        /// Who drives it.
        owner: Owner,
    },
    /// More than one can.
    #[error("several runs of `{workflow}` in {folder} can go on; name one with --resume RUN{}", listed(.runs))]
    Several {
        /// The workflow.
        workflow: &'static str,
        /// Where it works.
        folder: String,
        /// These.
        runs: Vec<String>,
    },
    /// The run that is named is one of another workflow.
    #[error("run {run} is one of `{found}`, not of `{workflow}`; go on with it by the program that began it")]
    OtherWorkflow {
        /// The run.
        run: RunId,
        /// Its workflow.
        found: String,
        /// The workflow that was to go on.
        workflow: &'static str,
    },
    /// The run that is named works elsewhere.
    #[error("run {run} works in {found}, not in {folder}; name that folder to go on with it")]
    OtherFolder {
        /// The run.
        run: RunId,
        /// Where it works.
        found: String,
        /// Where it was to go on.
        folder: String,
    },
    /// What the run that goes on works on cannot be read.
    #[error("run {run} does not say what it works on")]
    Input {
        /// The run.
        run: RunId,
        /// Why not.
        source: serde_json::Error,
    },
}

impl KeepError {
    /// Whether something was asked for that makes no sense here.
    pub fn is_usage(&self) -> bool {
        #[cfg(not(feature = "postgres"))]
        if matches!(self, Self::NoServer) {
            return true;
        }
        let is_place = matches!(self, Self::NoPlace | Self::NoJournal | Self::NoLog);
        let is_other = matches!(self, Self::OtherWorkflow { .. } | Self::OtherFolder { .. });
        is_place || is_other || matches!(self, Self::Nothing { .. } | Self::Several { .. })
    }
}

fn listed(runs: &[String]) -> String {
    listed_or(runs, "")
}

fn listed_or(runs: &[String], none: &str) -> String {
    if runs.is_empty() { none.to_owned() } else { format!("\n  {}", runs.join("\n  ")) }
}
