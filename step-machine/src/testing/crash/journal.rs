//! A journal whose process dies.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::event::Event;
use crate::journal::{
    Append, Claim, Claimed, Journal, JournalError, Lease, MemoryJournal, Reply, RunQuery, RunSummary,
};
use crate::run_id::RunId;

/// The journal of a process that may die with one of its writes: for [`Crash::drive`](super::Crash::drive).
#[derive(Clone)]
pub struct CrashJournal {
    pub(super) kept: MemoryJournal,
    death: Option<At>,
    writes: Arc<AtomicUsize>,
    is_dead: Arc<AtomicBool>,
    died: Arc<Notify>,
}

/// With which write the process dies, from 1, and whether it learns that the journal has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) write: usize,
    pub(super) learns: bool,
}

impl CrashJournal {
    pub(super) fn new(kept: MemoryJournal, death: Option<At>) -> Self {
        let (writes, is_dead, died) = Default::default();
        Self { kept, death, writes, is_dead, died }
    }

    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::Acquire)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    fn unless_dead<T>(&self, ask: impl FnOnce(&MemoryJournal) -> Reply<T>) -> Reply<T> {
        if self.is_dead() { Reply::ready(Err(JournalError::Closed)) } else { ask(&self.kept) }
    }

    fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
        // For one who listens later too.
        self.died.notify_one();
    }

    pub(super) async fn dies(&self) {
        self.died.notified().await;
    }
}

impl fmt::Debug for CrashJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashJournal")
            .field("death", &self.death)
            .field("writes", &self.writes())
            .finish_non_exhaustive()
    }
}

impl Journal for CrashJournal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        self.unless_dead(|kept| kept.claim(claim))
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        if self.is_dead() {
            return Reply::ready(Err(JournalError::Closed));
        }
        let reply = self.kept.append(append);
        if append.events.is_empty() {
            return reply;
        }
        let write = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        match self.death.filter(|death| death.write == write) {
            None => reply,
            Some(death) => {
                self.die();
                if death.learns { reply } else { Reply::ready(Err(JournalError::Closed)) }
            }
        }
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        if self.is_dead() { Reply::ready(Ok(())) } else { self.kept.release(lease) }
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.kept.load(run)
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.kept.list(query)
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.unless_dead(|kept| kept.abandon(run, why))
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.unless_dead(|kept| kept.prune(before))
    }
}
