//! A journal that lives as long as its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Journal, JournalError};
use crate::event::Event;
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
    runs: Arc<Mutex<BTreeMap<RunId, Vec<Event>>>>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Journal for MemoryJournal {
    fn append(&self, run: &RunId, events: &[Event]) -> Result<(), JournalError> {
        let mut runs = lock(&self.runs);
        let kept = runs.entry(run.clone()).or_default();
        let mut last = kept.last().map_or(0, |event| event.seq);
        for event in events {
            if event.seq != last + 1 {
                return Err(JournalError::Conflict { run: run.clone(), found: event.seq, last });
            }
            last = event.seq;
        }
        kept.extend_from_slice(events);
        Ok(())
    }

    fn load(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        Ok(lock(&self.runs).get(run).cloned().unwrap_or_default())
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(lock(&self.runs).keys().cloned().collect())
    }
}
