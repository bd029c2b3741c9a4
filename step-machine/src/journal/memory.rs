//! A journal that lives as long as its process.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::{Abandoned, Append, Claim, Claimed, Journal, JournalError, Lease, Owner, Reply, RunQuery, RunSummary};
use crate::event::{Event, RunStatus};
use crate::run_id::RunId;
use crate::sync::lock;

/// A journal in memory, for tests and for runs that need no crash safety. Clones share one store.
///
/// # Examples
///
/// A run that stopped goes on where it was, because its journal is still there:
///
/// ```
/// use step_machine::{MemoryJournal, Workflow};
///
/// #[derive(Workflow)]
/// enum Release {
///     Build,
///     Publish,
/// }
/// use release::*;
///
/// let journal = MemoryJournal::new();
/// let mut built = 0;
/// for attempt in 1..=2 {
///     let run = Release::machine().id("v1").journal(journal.clone()).begin()?;
///     let run = run.step(Build, |_| { built += 1; Ok::<(), std::io::Error>(()) })?;
///     let run = run.step(Publish, |_| match attempt {
///         1 => Err(std::io::Error::other("the registry is down")),
///         _ => Ok(()),
///     });
///     assert_eq!(run.is_ok(), attempt == 2);
///     if let Ok(run) = run {
///         run.finish()?;
///     }
/// }
/// assert_eq!(built, 1); // the second run handed out what the first had done
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    store: Arc<Mutex<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    runs: BTreeMap<RunId, Kept>,
    /// Which run holds a name.
    exclusive: BTreeMap<String, RunId>,
    /// How many runs there ever were: what gives each its key.
    keys: i64,
}

/// A run, and who writes to it.
#[derive(Debug, Default)]
struct Kept {
    key: i64,
    events: Vec<Event>,
    summary: Option<RunSummary>,
    epoch: u64,
    owner: Option<Owner>,
    /// An append under the lease failed, so that none may follow.
    has_failed: bool,
    abandoned: Option<Abandoned>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }
}

impl MemoryJournal {
    /// What is left of this journal when its process dies now: another journal with the same events, whose runs nobody
    /// drives. For tests.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let store = lock(&self.store);
        let runs = store.runs.iter().map(|(run, kept)| {
            let Kept { key, events, summary, epoch, abandoned, .. } = kept;
            let (events, summary, abandoned) = (events.clone(), summary.clone(), abandoned.clone());
            let kept = Kept { key: *key, events, summary, epoch: *epoch, abandoned, ..Kept::default() };
            (run.clone(), kept)
        });
        let runs = runs.filter(|(_, kept)| !kept.events.is_empty()).collect();
        Self { store: Arc::new(Mutex::new(Store { runs, exclusive: BTreeMap::new(), keys: store.keys })) }
    }
}

impl Store {
    fn claim(&mut self, claim: &Claim) -> Result<Claimed, JournalError> {
        let run = &claim.run;
        let kept = self.runs.get(run);
        if let Some(Abandoned { why, .. }) = kept.and_then(|kept| kept.abandoned.as_ref()) {
            return Err(JournalError::Abandoned { run: run.clone(), why: why.clone() });
        }
        if !claim.take_over {
            self.check_free(run)?;
            self.check_names(claim)?;
        }
        self.exclusive.retain(|_, holder| holder != run);
        for name in &claim.exclusive {
            if let Some(holder) = self.exclusive.insert(name.clone(), run.clone()).filter(|holder| holder != run) {
                self.end_lease(&holder);
            }
        }
        let keys = &mut self.keys;
        let kept = self.runs.entry(run.clone()).or_insert_with(|| {
            *keys += 1;
            Kept { key: *keys, ..Kept::default() }
        });
        kept.epoch += 1;
        kept.has_failed = false;
        kept.owner = Some(Owner::this_process("localhost", SystemTime::now()));
        Ok(Claimed::new(Lease::new(run.clone(), kept.epoch, kept.key), kept.events.clone()))
    }

    fn check_free(&self, run: &RunId) -> Result<(), JournalError> {
        match self.runs.get(run).and_then(|kept| kept.owner.clone()) {
            Some(owner) => Err(JournalError::Owned { run: run.clone(), owner }),
            None => Ok(()),
        }
    }

    fn check_names(&self, claim: &Claim) -> Result<(), JournalError> {
        for name in &claim.exclusive {
            let Some(holder) = self.exclusive.get(name).filter(|holder| **holder != claim.run) else { continue };
            if let Some(owner) = self.runs.get(holder).and_then(|kept| kept.owner.clone()) {
                let (run, name, holder) = (claim.run.clone(), name.clone(), holder.clone());
                return Err(JournalError::Exclusive { run, name, holder, owner: Box::new(owner) });
            }
        }
        Ok(())
    }

    /// Whoever holds the run does not any more, and finds out with the next write.
    fn end_lease(&mut self, run: &RunId) {
        self.exclusive.retain(|_, holder| holder != run);
        if let Some(kept) = self.runs.get_mut(run) {
            kept.epoch += 1;
            kept.owner = None;
        }
    }

    fn held(&mut self, lease: &Lease) -> Result<&mut Kept, JournalError> {
        let taken = || JournalError::TakenOver { run: lease.run.clone(), owner: None };
        match self.runs.get_mut(&lease.run) {
            Some(kept) if (kept.key, kept.epoch) == (lease.key, lease.epoch) && kept.owner.is_some() => Ok(kept),
            Some(kept) => Err(JournalError::TakenOver { run: lease.run.clone(), owner: kept.owner.clone() }),
            None => Err(taken()),
        }
    }

    fn append(&mut self, append: Append<'_>) -> Result<(), JournalError> {
        let Append { lease, events, release, .. } = append;
        let kept = self.held(lease)?;
        if kept.has_failed {
            let source = "an earlier append under its lease failed".into();
            return Err(JournalError::Write { run: lease.run.clone(), source });
        }
        let mut last = kept.events.last().map_or(0, |event| event.seq);
        for event in events {
            if event.seq != last + 1 {
                kept.has_failed = true;
                return Err(JournalError::Conflict { run: lease.run.clone(), found: event.seq, last });
            }
            last = event.seq;
        }
        let first = events.first().filter(|_| kept.summary.is_none());
        kept.summary = kept.summary.take().or_else(|| first.and_then(RunSummary::start));
        if let Some(summary) = &mut kept.summary {
            summary.follow(events);
        }
        kept.events.extend_from_slice(events);
        if release {
            self.release(lease);
        }
        Ok(())
    }

    fn release(&mut self, lease: &Lease) {
        let Ok(kept) = self.held(lease) else { return };
        kept.owner = None;
        if kept.events.is_empty() {
            self.runs.remove(&lease.run);
        }
        self.exclusive.retain(|_, holder| *holder != lease.run);
    }

    fn list(&self, query: &RunQuery) -> Vec<RunSummary> {
        let summary = |kept: &Kept| {
            let mut summary = kept.summary.clone()?.owned_by(kept.owner.clone());
            summary.abandoned.clone_from(&kept.abandoned);
            Some((kept.key, summary))
        };
        let mut found: Vec<_> =
            self.runs.values().filter_map(summary).filter(|(_, summary)| summary.fits(query)).collect();
        if query.last_begun_first {
            found.sort_by_key(|(key, _)| Reverse(*key));
        } else {
            found.sort_by_key(|(_, summary)| Reverse(summary.updated_at));
        }
        found.truncate(query.limit.unwrap_or(usize::MAX));
        found.into_iter().map(|(_, summary)| summary).collect()
    }

    fn abandon(&mut self, run: &RunId, why: &str) -> Result<(), JournalError> {
        self.check_free(run)?;
        let kept = self.runs.get_mut(run).ok_or_else(|| JournalError::NotFound { run: run.clone() })?;
        kept.abandoned = Some(Abandoned::new(why, SystemTime::now()));
        Ok(())
    }

    fn prune(&mut self, before: SystemTime) -> usize {
        let is_over = |kept: &Kept| {
            let is_over = |summary: &RunSummary| {
                let is_over =
                    kept.abandoned.is_some() || (summary.status.has_ended() && summary.status != RunStatus::Stuck);
                is_over && summary.updated_at < before && summary.parent.is_none()
            };
            kept.summary.as_ref().is_some_and(is_over)
        };
        let over: Vec<RunId> = self.runs.iter().filter(|(_, kept)| is_over(kept)).map(|(run, _)| run.clone()).collect();
        let families = over.into_iter().map(|run| self.family(run)).filter(|family| !self.is_held(family));
        let gone: Vec<Vec<RunId>> = families.collect();
        for run in gone.iter().flatten() {
            self.runs.remove(run);
        }
        gone.len()
    }

    /// A run and all that is nested in it, however deep.
    fn family(&self, run: RunId) -> Vec<RunId> {
        let mut family = vec![run];
        let mut next = 0;
        while let Some(run) = family.get(next).cloned() {
            let inside =
                |kept: &Kept| kept.summary.as_ref().is_some_and(|summary| summary.parent.as_ref() == Some(&run));
            family.extend(self.runs.iter().filter(|(_, kept)| inside(kept)).map(|(run, _)| run.clone()));
            next += 1;
        }
        family
    }

    fn is_held(&self, family: &[RunId]) -> bool {
        family.iter().any(|run| self.runs.get(run).is_some_and(|kept| kept.owner.is_some()))
    }
}

impl Journal for MemoryJournal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        Reply::ready(lock(&self.store).claim(claim))
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        Reply::ready(lock(&self.store).append(append))
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        lock(&self.store).release(lease);
        Reply::ready(Ok(()))
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        let store = lock(&self.store);
        Reply::ready(Ok(store.runs.get(run).map(|kept| kept.events.clone()).unwrap_or_default()))
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        Reply::ready(Ok(lock(&self.store).list(query)))
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        Reply::ready(lock(&self.store).abandon(run, why))
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        Reply::ready(Ok(lock(&self.store).prune(before)))
    }
}
