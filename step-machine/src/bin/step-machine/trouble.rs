//! What can go wrong, and the exit code that says so.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use step_machine::journal::BoxError;
use step_machine::{Illegal, JournalError, RunId};

use super::text::one_line;

/// The exit code where all went well, or why not.
pub(crate) type Outcome = Result<u8, Trouble>;

/// It did what it was asked for.
pub(crate) const OK: u8 = 0;
/// The run that was followed failed, or a check found something.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// There is no such run.
const NOT_FOUND: u8 = 3;
/// The journal, or what it has of the run, cannot be read.
const UNREADABLE: u8 = 4;
/// The journal does not allow it: somebody drives the run.
const REFUSED: u8 = 5;
/// The run that was followed was cancelled.
pub(crate) const CANCELLED: u8 = 130;

/// What stands in `--help` and on the manual page.
pub(crate) const CODES: [(u8, &str); 7] = [
    (OK, "it did what it was asked for; `tail`: the run completed"),
    (FAILED, "`tail`: the run failed, was rolled back, is stuck or was abandoned; `check`: something was found"),
    (USAGE, "the command line is wrong"),
    (NOT_FOUND, "there is no such run, or several whose ids begin so"),
    (UNREADABLE, "the journal cannot be opened, read or written, or what it has of the run is damaged"),
    (REFUSED, "somebody drives the run, or it was abandoned before"),
    (CANCELLED, "`tail`: the run was cancelled"),
];

#[derive(Debug)]
pub(crate) enum Trouble {
    /// No journal was named.
    NoJournal,
    /// A file that is not there.
    NoFile(PathBuf),
    /// What is there is a folder.
    Folder(PathBuf),
    /// A file that may or may not be there.
    NoAccess {
        path: PathBuf,
        source: io::Error,
    },
    NoRun(String),
    Ambiguous {
        prefix: String,
        runs: Vec<RunId>,
        more: bool,
    },
    /// No run of the workflow.
    NoRuns(String),
    Journal(JournalError),
    /// The journal did not take that the run was given up.
    Unabandoned(RunId, BoxError),
    Illegal(RunId, Box<Illegal>),
    Snapshot {
        path: PathBuf,
        why: String,
    },
    Usage(String),
    Output(io::Error),
    /// What is to be written cannot be.
    Json(serde_json::Error),
}

impl Trouble {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NoJournal | Self::Usage(_) => USAGE,
            Self::NoRun(_)
            | Self::Ambiguous { .. }
            | Self::NoRuns(_)
            | Self::Journal(JournalError::NotFound { .. }) => NOT_FOUND,
            Self::Journal(JournalError::Owned { .. } | JournalError::Abandoned { .. }) => REFUSED,
            Self::NoFile(_)
            | Self::Folder(_)
            | Self::NoAccess { .. }
            | Self::Journal(_)
            | Self::Unabandoned(..)
            | Self::Illegal(..)
            | Self::Snapshot { .. } => UNREADABLE,
            Self::Output(_) | Self::Json(_) => FAILED,
        }
    }

    /// Whether what the journal has of a run is damaged: others can be read all the same.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Journal(JournalError::Damaged { .. } | JournalError::Corrupt { .. }) | Self::Illegal(..))
    }

    /// Whether the run is not there, or not any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::NoRun(_) | Self::Journal(JournalError::NotFound { .. }))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJournal => f.write_str(
                "no journal is named; say which by `--journal runs.db`, `--journal postgres://user@host/database`, or \
                 in STEP_MACHINE_JOURNAL",
            ),
            Self::NoFile(path) => {
                write!(f, "there is no journal {}; name the file that the runs are kept in", path.display())
            }
            Self::Folder(path) => {
                write!(f, "{} is a folder; name the file in it that the runs are kept in", path.display())
            }
            Self::NoAccess { path, source } => {
                write!(
                    f,
                    "the journal {} cannot be looked at: {source}; see that you may enter its folder",
                    path.display()
                )
            }
            Self::NoRun(run) => {
                write!(f, "no run has the id `{run}`, nor one that begins so; `step-machine runs --all` lists them")
            }
            Self::Ambiguous { prefix, runs, more } => {
                let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
                let more = if *more { ", .." } else { "" };
                write!(f, "several runs begin with `{prefix}`; name more of the id: {}{more}", names.join(", "))
            }
            Self::NoRuns(workflow) => {
                write!(f, "there is no run of workflow `{workflow}`; `step-machine runs` shows of which there are some")
            }
            Self::Journal(error) => {
                write!(f, "{error}")?;
                causes(error, f)
            }
            Self::Unabandoned(run, source) => {
                write!(f, "run {run} could not be given up; try again once the journal can be written: ")?;
                write!(f, "{}", one_line(&source.to_string()))?;
                causes(&**source, f)
            }
            Self::Illegal(run, illegal) => {
                write!(f, "run {run}: its events are not those of a run: {illegal}; give it up with `abandon`")
            }
            Self::Snapshot { path, why } => {
                write!(
                    f,
                    "{} is no snapshot of a workflow: {why}; name one that assert_resumable! keeps",
                    path.display()
                )
            }
            Self::Usage(what) => f.write_str(what),
            Self::Output(error) => write!(f, "what was asked for could not be written: {error}"),
            Self::Json(error) => write!(f, "what was asked for cannot be JSON: {error}"),
        }
    }
}

/// What the store says, on the same line.
fn causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut last = one_line(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next {
        let text = one_line(&cause.to_string());
        let text = without_advice(&text, &last);
        // Some say in their own text what their source says.
        if !last.contains(text) && !text.contains(&last) {
            write!(f, ": {text}")?;
        }
        last = text.to_owned();
        next = cause.source();
    }
    Ok(())
}

/// A cause without the advice at its end that was given before.
fn without_advice<'a>(text: &'a str, before: &str) -> &'a str {
    let advice = text.match_indices("; ").find(|(at, sign)| before.ends_with(&text[at + sign.len()..]));
    advice.map_or(text, |(at, _)| &text[..at])
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => Self::Output(kind.into()),
            None => Self::Json(error),
        }
    }
}
