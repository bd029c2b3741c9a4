//! What can go wrong between a run and its journal.

use super::{CodecError, Owner};
use crate::event::RunStatus;
use crate::run_id::RunId;
use crate::state::{Illegal, PlanChange};

/// An error of any type, as a store has its own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a run cannot begin, go on or end for reasons of its journal.
///
/// A journal error never hides: it stops the run, no further step body is called, and the next fallible call returns it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The store could not be written.
    #[error(
        "run {run}: its journal could not be written; once it can be, resume the run, or begin it again where it is not in the journal"
    )]
    Write {
        /// The run.
        run: RunId,
        /// What the store says.
        source: BoxError,
    },
    /// The store could not be read.
    #[error("run {run}: its journal could not be read")]
    Read {
        /// The run.
        run: RunId,
        /// What the store says.
        source: BoxError,
    },
    /// The journal as a whole cannot be opened or used.
    #[error("the journal {journal} cannot be used: {advice}")]
    Store {
        /// Where it is.
        journal: String,
        /// What to do about it.
        advice: String,
        /// What the store says.
        source: BoxError,
    },
    /// What the journal has of the run is damaged: some of it is missing, or was changed since it was written.
    #[error(
        "run {run}: its journal is damaged: {what}; restore the journal from a copy, or give the run up with `abandon`"
    )]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong, and where.
        what: String,
    },
    /// The journal was closed, or what writes to it has stopped.
    #[error("the journal was closed; open it again")]
    Closed,
    /// A process that lives drives the run.
    #[error("run {run} is driven by {owner}; wait for it, stop it, or take the run over by force with `.take_over()`")]
    Owned {
        /// The run.
        run: RunId,
        /// Who drives it.
        owner: Owner,
    },
    /// A run that a process drives holds a thing that only one run at a time may touch.
    #[error(
        "run {run} needs `{name}` for itself, which run {holder} holds, driven by {owner}; wait for it, or stop it"
    )]
    Exclusive {
        /// The run.
        run: RunId,
        /// The thing.
        name: String,
        /// The run that holds it.
        holder: RunId,
        /// Who drives that one.
        owner: Box<Owner>,
    },
    /// Somebody took the run over, so nothing more can be written to it from here.
    #[error("run {run} was taken over{}; nothing more is written to it from here", by(.owner.as_ref()))]
    TakenOver {
        /// The run.
        run: RunId,
        /// Who drives it now, if anybody does.
        owner: Option<Owner>,
    },
    /// The run was to begin, and the journal has it already.
    #[error("run {run} is in the journal already; resume it, or choose another id")]
    Exists {
        /// The run.
        run: RunId,
    },
    /// The run was to go on, and the journal does not have it.
    #[error("run {run} is not in the journal; start it, or look for its id in the list of runs")]
    NotFound {
        /// The run.
        run: RunId,
    },
    /// The run was given up.
    #[error("run {run} was abandoned: {why}; begin another one under another id")]
    Abandoned {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// Somebody else wrote to the run.
    #[error("run {run}: event {found} does not follow event {last}; somebody else is driving this run")]
    Conflict {
        /// The run.
        run: RunId,
        /// The number of the event that was to be written.
        found: u64,
        /// The number of the last event in the journal.
        last: u64,
    },
    /// The events in the journal are not those of a run.
    #[error("run {run}: its journal is damaged; restore it, or begin again under another id")]
    Corrupt {
        /// The run.
        run: RunId,
        /// The first event that is not legal.
        source: Box<Illegal>,
    },
    /// The run under this id belongs to another workflow.
    #[error("run {run} is a run of workflow `{found}`, not of `{expected}`; choose another id")]
    OtherWorkflow {
        /// The run.
        run: RunId,
        /// The workflow of the run.
        found: String,
        /// The workflow that was to be resumed.
        expected: String,
    },
    /// The enum changed in a way that the run cannot follow.
    #[error("run {run}: the workflow changed since: {}; resume it with the version that began it, or begin again under another id", list(.changes))]
    PlanChanged {
        /// The run.
        run: RunId,
        /// What does not fit.
        changes: Vec<PlanChange>,
    },
    /// What a step handed on cannot be read as the type that its `output` is now.
    #[error(
        "run {run}: the recorded output of step `{step}` does not fit its type any more; resume the run with the version that began it, or begin again under another id"
    )]
    Output {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// Why it does not fit.
        source: serde_json::Error,
    },
    /// A step hands on a secret, the run has a journal, and nothing could seal the one for the other.
    #[error(
        "run {run}: what step `{step}` hands on is `secret`, and there is no codec to seal it with for the journal; give the run one by `.codec(..)`, or run it without a journal"
    )]
    NoCodec {
        /// The run.
        run: RunId,
        /// The step; after the step that it is nested in, where it is.
        step: String,
    },
    /// What a step hands on could not be sealed, so that the journal does not have the step's end.
    #[error("run {run}: the secret output of step `{step}` could not be sealed, and is not in the journal")]
    Sealing {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// Why not.
        source: Box<CodecError>,
    },
    /// What a step handed on cannot be opened again. No step has been run; other runs of the journal are as they were.
    #[error("run {run}: the sealed output of step `{step}` cannot be opened")]
    Sealed {
        /// The run.
        run: RunId,
        /// The id that the step had when it ended.
        step: String,
        /// Why not, and what to do.
        source: Box<CodecError>,
    },
    /// The run under this id cannot go on, or not forward.
    #[error("run {run} is {status} and {}", advice(*.status))]
    Over {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// The next event is not legal. The typed machine cannot get there; a fault of this crate if it does.
    #[error("run {run}: an event was refused")]
    Refused {
        /// The run.
        run: RunId,
        /// Why.
        source: Box<Illegal>,
    },
}

fn advice(status: RunStatus) -> &'static str {
    match status {
        RunStatus::RollingBack | RunStatus::Stuck => {
            "cannot go forward, as what it did is not all undone: go on with its rollback, by `begin_rollback` of the typed \
                machine or by resuming it with the runner, before another run begins under another id"
        }
        RunStatus::Completed => "can neither go on nor be taken back; begin again under another id",
        _ => "cannot go on; begin again under another id",
    }
}

fn list(changes: &[PlanChange]) -> String {
    let texts: Vec<String> = changes.iter().map(PlanChange::to_string).collect();
    texts.join(", ")
}

fn by(owner: Option<&Owner>) -> String {
    owner.map(|owner| format!(" by {owner}")).unwrap_or_default()
}

impl JournalError {
    /// Whether the journal does not follow any more, so that nothing may go on.
    #[cfg(feature = "runner")]
    pub(crate) fn is_of_writing(&self) -> bool {
        matches!(
            self,
            Self::Write { .. }
                | Self::Conflict { .. }
                | Self::TakenOver { .. }
                | Self::Store { .. }
                | Self::Closed
                | Self::Sealing { .. }
                | Self::Refused { .. }
        )
    }

    /// Whether what the journal has cannot be read, or does not fit: another version, key or copy is needed.
    #[cfg(feature = "runner")]
    pub(crate) fn is_of_reading(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::Damaged { .. }
                | Self::Corrupt { .. }
                | Self::OtherWorkflow { .. }
                | Self::PlanChanged { .. }
                | Self::Output { .. }
                | Self::Sealed { .. }
                | Self::Over { .. }
        )
    }

    /// The run; `None` where it is about the journal as a whole.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Store { .. } | Self::Closed => None,
            Self::Write { run, .. }
            | Self::Read { run, .. }
            | Self::Damaged { run, .. }
            | Self::Owned { run, .. }
            | Self::Exclusive { run, .. }
            | Self::TakenOver { run, .. }
            | Self::Exists { run }
            | Self::NotFound { run }
            | Self::Abandoned { run, .. }
            | Self::Conflict { run, .. }
            | Self::Corrupt { run, .. }
            | Self::OtherWorkflow { run, .. }
            | Self::PlanChanged { run, .. }
            | Self::Output { run, .. }
            | Self::NoCodec { run, .. }
            | Self::Sealing { run, .. }
            | Self::Sealed { run, .. }
            | Self::Over { run, .. }
            | Self::Refused { run, .. } => Some(run),
        }
    }
}

/// The store could not be written.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn write(run: &RunId, source: impl Into<BoxError>) -> JournalError {
    JournalError::Write { run: run.clone(), source: source.into() }
}

/// What the store has of a run is not what was written.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn damaged(run: &RunId, what: impl Into<String>) -> JournalError {
    JournalError::Damaged { run: run.clone(), what: what.into() }
}
