//! What the one writer is asked for, and how it answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Error;
use serde_json::{Map, Value};

use super::error::{is_damage, read, store, write};
use super::reader::Reads;
use super::record::{encode, micros};
use crate::event::Event;
use crate::journal::{Answer, Append, Claim, Claimed, Digest, JournalError, Lease, RunSummary};
use crate::run_id::RunId;

pub(super) enum Job {
    Append(Box<Appended>, Answer<()>),
    Claim(Claim, Answer<Claimed>),
    Release(Lease, Answer<()>),
    Abandon(RunId, String, Answer<()>),
    Prune(SystemTime, Answer<usize>),
}

/// What is to be appended, made ready on the thread that asked for it.
pub(super) struct Appended {
    pub(super) lease: Lease,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) body: Vec<u8>,
    pub(super) at_us: i64,
    pub(super) percentage: Option<f64>,
    pub(super) phase: Option<String>,
    /// What changes in the row of the run, where anything does.
    pub(super) changes: Option<Box<Changes>>,
    pub(super) release: bool,
    pub(super) fault: Option<JournalError>,
}

/// What changes in the row of a run.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) start: Option<RunSummary>,
    pub(super) digest: Digest,
    /// All that was told machines, where that changes.
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) release: bool,
}

impl Changes {
    pub(super) fn merge(&mut self, later: Self) {
        self.start = later.start.or(self.start.take());
        self.digest.status = later.digest.status.or(self.digest.status);
        self.digest.error = later.digest.error.or(self.digest.error.take());
        self.metadata = later.metadata.or(self.metadata.take());
        self.release |= later.release;
    }
}

impl Appended {
    pub(super) fn new(append: Append<'_>) -> Self {
        let Append { lease, events, release, .. } = append;
        let (body, fault) = match encode(&lease.run, events) {
            Ok(body) => (body, gap(lease, events)),
            Err(error) => (Vec::new(), Some(write(&lease.run, error))),
        };
        let last = events.last();
        let progress = events.iter().rev().find_map(|event| event.progress.as_ref());
        Self {
            lease: lease.clone(),
            first: events.first().map_or(0, |event| event.seq),
            last: last.map_or(0, |event| event.seq),
            body,
            at_us: last.map_or(0, |event| micros(event.at)),
            percentage: progress.map(|progress| progress.percentage),
            phase: progress.and_then(|progress| progress.current.as_ref().map(ToString::to_string)),
            changes: changes(events, release),
            release,
            fault,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last == 0
    }
}

fn gap(lease: &Lease, events: &[Event]) -> Option<JournalError> {
    let (last, found) =
        events.windows(2).map(|pair| (pair[0].seq, pair[1].seq)).find(|(last, found)| *found != last + 1)?;
    Some(JournalError::Conflict { run: lease.run.clone(), found, last })
}

fn changes(events: &[Event], release: bool) -> Option<Box<Changes>> {
    let digest = Digest::of(events);
    let start = events.first().filter(|event| event.seq == 1).and_then(RunSummary::start);
    (release || start.is_some() || !digest.is_empty())
        .then(|| Box::new(Changes { start, digest, metadata: None, release }))
}

/// Why one thing that was asked for is not done.
pub(super) enum Fault {
    /// It alone, and nothing of it.
    Alone(JournalError),
    /// SQLite failed, and with it all that is committed together.
    Store(Error),
}

impl Fault {
    /// What is said of it where nothing else has failed.
    pub(super) fn of(self, run: Option<&RunId>, path: &Path) -> JournalError {
        match (self, run) {
            (Self::Alone(error), _) => error,
            (Self::Store(error), None) => store(path, error),
            (Self::Store(error), Some(run)) if is_damage(&error) => read(run, error),
            (Self::Store(error), Some(run)) => write(run, error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        Self::Alone(error)
    }
}

/// What is answered once the commit is through, or has failed.
pub(super) enum Outcome {
    Appended(Lease, Answer<()>, Result<(), Fault>),
    Claimed(RunId, Answer<Claimed>, Result<Granted, Fault>),
    Released(Lease, Answer<()>, Result<(), Fault>),
    Abandoned(RunId, Answer<()>, Result<(), Fault>),
    Pruned(Answer<usize>, Result<usize, Fault>),
}

/// A lease, and whether there are events to be read.
pub(super) struct Granted {
    pub(super) lease: Lease,
    pub(super) has_events: bool,
}

impl Outcome {
    /// Why SQLite failed, if that is what happened.
    pub(super) fn take_store_fault(&mut self) -> Option<Error> {
        fn take<T>(result: &mut Result<T, Fault>) -> Option<Error> {
            if !matches!(result, Err(Fault::Store(_))) {
                return None;
            }
            // What takes its place is overwritten by the failure of the whole commit.
            match std::mem::replace(result, Err(Fault::Alone(JournalError::Closed))) {
                Err(Fault::Store(error)) => Some(error),
                _ => None,
            }
        }
        match self {
            Self::Appended(_, _, result) | Self::Released(_, _, result) | Self::Abandoned(_, _, result) => take(result),
            Self::Claimed(_, _, result) => take(result),
            Self::Pruned(_, result) => take(result),
        }
    }

    /// Answers.
    pub(super) fn send(self, failure: Option<&Failure>, reads: &Reads) {
        match self {
            Self::Appended(lease, answer, result) | Self::Released(lease, answer, result) => {
                answer.send(settle(result, failure, Some(&lease.run)));
            }
            Self::Abandoned(run, answer, result) => answer.send(settle(result, failure, Some(&run))),
            Self::Pruned(answer, result) => answer.send(settle(result, failure, None)),
            Self::Claimed(run, answer, result) => match settle(result, failure, Some(&run)) {
                Ok(Granted { lease, has_events: false }) => answer.send(Ok(Claimed::new(lease, Vec::new()))),
                Ok(Granted { lease, .. }) => reads.load_claimed(lease, answer),
                Err(error) => answer.send(Err(error)),
            },
        }
    }
}

/// Why a commit failed, for all that were part of it.
pub(super) struct Failure {
    pub(super) source: Arc<Error>,
    pub(super) path: PathBuf,
}

impl Failure {
    fn of(&self, run: Option<&RunId>) -> JournalError {
        match run {
            Some(run) => write(run, self.source.clone()),
            None => super::error::unusable(&self.path, "see what the store says", Box::new(self.source.clone())),
        }
    }
}

fn settle<T>(result: Result<T, Fault>, failure: Option<&Failure>, run: Option<&RunId>) -> Result<T, JournalError> {
    match (result, failure) {
        (Ok(done), None) => Ok(done),
        // What is wrong with it alone stays so.
        (Err(Fault::Alone(error)), _) if !matches!(error, JournalError::Closed) => Err(error),
        (_, Some(failure)) => Err(failure.of(run)),
        (Err(_), None) => Err(JournalError::Closed),
    }
}
