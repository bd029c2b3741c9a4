//! A journal that remembers why it did not take what a run came to: who drops a machine is told nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Claimed, Lease, Reply, RunQuery, RunSummary};
use step_machine::{Journal, RunId};

use super::chain;
use super::crash::is_news;
use super::refused::is_of_another;

/// A journal that remembers why it did not take what a run came to.
pub(super) struct Noting {
    journal: Arc<dyn Journal>,
    fault: Arc<Mutex<Option<Fault>>>,
}

/// Why a journal did not take what a run came to.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The reason, with everything behind it.
    pub why: String,
    /// Whether the run is another process's now.
    pub is_of_another: bool,
}

impl Noting {
    pub(super) fn new(journal: Arc<dyn Journal>, fault: Arc<Mutex<Option<Fault>>>) -> Self {
        Self { journal, fault }
    }
}

impl Journal for Noting {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        self.journal.claim(claim)
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        // All but news is waited for in any case.
        if append.events.iter().all(|event| is_news(&event.kind)) {
            return self.journal.append(append);
        }
        let answer = self.journal.append(append).wait();
        if let Err(error) = &answer {
            let fault = || Fault { why: chain(error), is_of_another: is_of_another(error) };
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(fault);
        }
        Reply::ready(answer)
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        self.journal.release(lease)
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.journal.load(run)
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.journal.list(query)
    }

    fn stalled(&self, silence: Duration) -> Reply<Vec<RunSummary>> {
        self.journal.stalled(silence)
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.journal.abandon(run, why)
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.journal.prune(before)
    }
}
