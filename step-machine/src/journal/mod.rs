//! Where the events of runs are kept.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod appended;
mod claiming;
mod codec;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
#[cfg(feature = "runner")]
mod copied;
mod digest;
mod error;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod held;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod host;
mod lease;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod record;
mod reply;
#[cfg(feature = "seal")]
mod seal;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use claiming::Claiming;
pub use codec::{Codec, CodecError, SealContext};
pub use digest::Digest;
pub use error::{BoxError, JournalError};
pub use lease::{Append, Claim, Claimed, Lease, Owner, Waiting};
pub use memory::MemoryJournal;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresJournal, PostgresOptions};
pub use query::{Abandoned, RunQuery, RunSummary};
pub use reply::{Answer, Reply};
#[cfg(feature = "seal")]
pub use seal::{KeyError, SealKey, Sealer};
#[cfg(feature = "sqlite")]
pub use sqlite::{Finding, SqliteJournal, SqliteOptions, Synchronous};

use crate::event::Event;
use crate::run_id::RunId;

/// A store of events, run by run, that only ever grows.
///
/// Whoever writes to a run has claimed it before, and is the only one who may. Each method answers by a [`Reply`],
/// which can be awaited, and waited for without a runtime.
///
/// # What an implementation keeps to
///
/// - [`append`](Self::append) is acknowledged when the events are as durable as the store makes them, all of them or
///   none. Appends under one lease are done in the order in which they were asked for. After one that failed, every
///   later one under that lease fails too: no event is ever kept without those before it.
/// - The numbers of a run's events go up by one from 1; what does not fit is refused with
///   [`JournalError::Conflict`], and what comes under a lease that was taken over with [`JournalError::TakenOver`].
/// - [`load`](Self::load) and [`claim`](Self::claim) give the events in that order, all of them, or an error; they
///   never skip one they cannot read.
/// - A claim fails with [`JournalError::Owned`] while a process lives that holds the run, and needs no time-out once
///   it died.
///
/// # Examples
///
/// ```
/// use step_machine::{Journal, MemoryJournal};
///
/// let journal = MemoryJournal::new();
/// assert!(journal.load(&"web-42".into()).wait()?.is_empty());
/// # Ok::<(), step_machine::JournalError>(())
/// ```
pub trait Journal: Send + Sync {
    /// Makes the caller the one who writes to a run, and gives what the journal has of it.
    ///
    /// Fails with [`JournalError::Owned`] or [`JournalError::Exclusive`] where somebody else holds it, and with
    /// [`JournalError::Abandoned`] where it was given up.
    fn claim(&self, claim: &Claim) -> Reply<Claimed>;

    /// Adds events to the end of a run.
    fn append(&self, append: Append<'_>) -> Reply<()>;

    /// Gives a run back; one that was taken over meanwhile stays with its new owner.
    fn release(&self, lease: &Lease) -> Reply<()>;

    /// All events of a run in order; none for a run that the journal does not have.
    fn load(&self, run: &RunId) -> Reply<Vec<Event>>;

    /// The runs that `query` finds, in the order that it asks for. Reads no run, so that one which cannot
    /// be read does not keep the others from being found.
    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>>;

    /// The runs of which nothing was heard for so long, nor of what is nested in them, and that have not ended: their
    /// process hangs, or is gone. Those that are nested in a step of another one, and those that were abandoned, are left
    /// out.
    fn stalled(&self, silence: Duration) -> Reply<Vec<RunSummary>> {
        let query = RunQuery::unfinished().silent_for(silence);
        // All that have not ended, as what is nested speaks for the run that it is in.
        self.list(&RunQuery::unfinished().with_nested()).map(move |runs| query.silent_among(runs))
    }

    /// Gives up a run, with the reason, whether it can be read or not: nobody can claim it any more. Fails where
    /// somebody holds it.
    fn abandon(&self, run: &RunId, why: &str) -> Reply<()>;

    /// Removes the runs, with what is nested in them, that nobody holds, that are completed, failed, cancelled, rolled
    /// back or abandoned, and whose last event was before then; gives how many. One of which it cannot be trusted when that
    /// was, or cannot be seen whether somebody holds it, is left out. A store may do so a part at a time, with
    /// the writes of others in between: where it fails, some are removed already.
    fn prune(&self, before: SystemTime) -> Reply<usize>;
}

macro_rules! forward {
    ($($pointer:ident),*) => {
        $(impl<J: Journal + ?Sized> Journal for $pointer<J> {
            fn claim(&self, claim: &Claim) -> Reply<Claimed> {
                (**self).claim(claim)
            }

            fn append(&self, append: Append<'_>) -> Reply<()> {
                (**self).append(append)
            }

            fn release(&self, lease: &Lease) -> Reply<()> {
                (**self).release(lease)
            }

            fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
                (**self).load(run)
            }

            fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
                (**self).list(query)
            }

            fn stalled(&self, silence: Duration) -> Reply<Vec<RunSummary>> {
                (**self).stalled(silence)
            }

            fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
                (**self).abandon(run, why)
            }

            fn prune(&self, before: SystemTime) -> Reply<usize> {
                (**self).prune(before)
            }
        })*
    };
}

forward!(Box, Arc);
