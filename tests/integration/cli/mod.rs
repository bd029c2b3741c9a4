//! The command `step-machine`, run as a user runs it: on journals that real runs have left.

mod changes;
mod check;
mod export;
mod log;
mod postgres;
mod runs;
mod show;
mod stats;
mod tail;
mod trouble;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use step_machine::journal::Synchronous;
use step_machine::time::ManualClock;
use step_machine::{Failure, SqliteJournal, StepError, Workflow};
use tempfile::TempDir;

use crate::flows::user::{Screen, build};

/// The command, built once as a user builds it.
pub(crate) fn program() -> &'static Path {
    static PROGRAMS: OnceLock<Option<HashMap<String, PathBuf>>> = OnceLock::new();
    let build = || build(&["-p", "step-machine", "--features", "cli", "--bin", "step-machine"]);
    &PROGRAMS.get_or_init(build).as_ref().expect("the command builds")["step-machine"]
}

/// The command on this journal.
fn command(journal: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env("STEP_MACHINE_JOURNAL", journal)
        .env_remove("STEP_MACHINE_SCHEMA")
        .env_remove("COLUMNS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder with a journal.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("runs.db")
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::options().synchronous(Synchronous::Normal).open(self.path()).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.path().to_str().unwrap(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Screen {
        Screen::of(self.command(arguments))
    }

    /// What it says; fails where it does not end with 0.
    fn says(&self, arguments: &[&str]) -> String {
        let screen = self.run(arguments);
        assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
        screen.stdout
    }

    /// What it says as JSON, one value a line.
    fn lines(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        self.says(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Bring out a version.
#[derive(Workflow, Debug, Clone, Copy, PartialEq)]
#[workflow(name = "release")]
enum Release {
    /// Fetch the archive
    #[step(retry(attempts = 3, delay = "2s", jitter = false))]
    Fetch,
    #[step(undo, weight = 3)]
    Start,
    #[step(skippable, critical = false)]
    Announce,
}
use release::{Announce, Fetch, Start};

#[derive(Debug, thiserror::Error, StepError)]
enum ReleaseError {
    #[error("no answer from \u{1b}[31mthe registry\u{1b}[0m")]
    #[step_error(kind = "network")]
    Silent,
    #[error("port 80 is taken, \"again\"\nby nginx")]
    #[step_error(kind = "port-taken")]
    Taken,
}

/// How a run goes, in steps of whole seconds by a clock that stands still otherwise.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    /// How often the archive cannot be fetched.
    retries: u32,
    start_fails: bool,
    is_undone: bool,
    fetch: u64,
}

impl Course {
    fn run(self, id: &str, journal: SqliteJournal, clock: &ManualClock) {
        let seconds = |seconds| clock.advance(Duration::from_secs(seconds));
        let course = || -> Result<(), Failure<Release, ReleaseError>> {
            let builder = Release::machine().id(id).label("ticket", format!("OPS-{}", id.len()));
            let run = builder.input("v1.2").journal(journal).clock(clock.clone()).begin()?;
            let run = run.step_retry(Fetch, |cx| {
                seconds(self.fetch.max(1));
                if cx.attempt() <= self.retries { Err(ReleaseError::Silent) } else { Ok(()) }
            })?;
            let run = run.step(Start, |cx| {
                cx.message("\u{1b}]0;owned\u{7}starting \u{1b}[1mnow\u{1b}[0m");
                cx.stdout("a line\u{9b}31m of the server");
                seconds(5);
                if self.start_fails { Err(ReleaseError::Taken) } else { Ok(()) }
            })?;
            run.skip(Announce, "nobody listens").finish()?;
            Ok(())
        };
        if let Err(failure) = course()
            && self.is_undone
        {
            let _ = failure.rollback(|_, _| {
                seconds(1);
                Ok::<_, ReleaseError>(())
            });
        }
    }
}

/// 2026-01-01T00:00:00Z.
fn new_year() -> ManualClock {
    ManualClock::new()
}
