//! What is appended, made ready for a store of rows.

use serde_json::{Map, Value};

use super::error::write;
use super::record::{encode, micros};
use super::{Append, Digest, JournalError, Lease, RunSummary};
use crate::event::Event;

/// What is to be appended, made ready on the thread that asked for it.
pub(super) struct Appended {
    pub(super) lease: Lease,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) body: String,
    /// When something was last heard of the run, where anything was.
    pub(super) at_us: Option<i64>,
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
            Err(error) => (String::new(), Some(write(&lease.run, error))),
        };
        let last = events.last();
        let progress = events.iter().rev().find_map(|event| event.progress.as_ref());
        Self {
            lease: lease.clone(),
            first: events.first().map_or(0, |event| event.seq),
            last: last.map_or(0, |event| event.seq),
            body,
            at_us: events.iter().rev().find(|event| event.is_heard()).map(|event| micros(event.at)),
            percentage: progress.map(|progress| progress.percentage),
            phase: progress.and_then(|progress| progress.current.as_ref().map(ToString::to_string)),
            changes: changes(events, release),
            release,
            fault,
        }
    }

    /// The same once more, where it [only adds](super::held::Held::only_adds) events.
    #[cfg(feature = "sqlite")]
    pub(super) fn again(&self) -> Self {
        let Self { lease, first, last, body, at_us, percentage, phase, .. } = self;
        Self {
            lease: lease.clone(),
            first: *first,
            last: *last,
            body: body.clone(),
            at_us: *at_us,
            percentage: *percentage,
            phase: phase.clone(),
            changes: None,
            release: false,
            fault: None,
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
