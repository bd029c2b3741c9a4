//! What the one writer is asked for, and how it answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Error;

use super::error::{is_damage, read, store};
use super::prune::Pruning;
use super::reader::Reads;
use super::writer::Leased;
use crate::journal::appended::Appended;
use crate::journal::error::write;
use crate::journal::{Answer, Claim, Claimed, JournalError, Lease};
use crate::run_id::RunId;

pub(super) enum Job {
    Append(Box<Appended>, Answer<()>),
    Claim(Claim, Answer<Claimed>),
    Release(Lease, Answer<()>),
    Abandon(RunId, String, Answer<()>),
    Prune(Pruning, Answer<usize>),
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
    Pruned(Answer<usize>, Result<Pruning, Fault>),
}

/// A lease, and whether there are events to be read.
pub(super) struct Granted {
    pub(super) lease: Lease,
    pub(super) has_events: bool,
    /// It was given back, so that its own row tells its last event.
    pub(super) was_given_back: bool,
    /// The lease of ours that it ended.
    pub(super) replaced: Option<Leased>,
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

    /// Answers, or says what is left to do before.
    pub(super) fn send(self, failure: Option<&Failure>, reads: &Reads) -> Option<Job> {
        match self {
            Self::Appended(lease, answer, result) | Self::Released(lease, answer, result) => {
                answer.send(settle(result, failure, Some(&lease.run)));
            }
            Self::Abandoned(run, answer, result) => answer.send(settle(result, failure, Some(&run))),
            Self::Pruned(answer, result) => match settle(result, failure, None) {
                Ok(pruning) if !pruning.is_done => return Some(Job::Prune(pruning, answer)),
                result => answer.send(result.map(|pruning| pruning.removed)),
            },
            Self::Claimed(run, answer, result) => match settle(result, failure, Some(&run)) {
                Ok(Granted { lease, has_events: false, .. }) => answer.send(Ok(Claimed::new(lease, Vec::new()))),
                Ok(Granted { lease, was_given_back, .. }) => return reads.load_claimed(lease, was_given_back, answer),
                Err(error) => answer.send(Err(error)),
            },
        }
        None
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
