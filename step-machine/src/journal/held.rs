//! A run that is written to, and what is to be written of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::JournalError;
use super::appended::{Appended, Changes};
use super::error::{damaged, write};
use super::record::{Row, join};
use crate::run_id::RunId;

/// What is put together in one row at most; more of one run goes on in another one.
const LONGEST_BODY: usize = 32 << 10;

/// A lease under way.
pub(super) struct Held {
    pub(super) epoch: u64,
    /// The run as text.
    id: Arc<str>,
    pub(super) last_seq: u64,
    at_us: i64,
    percentage: f64,
    phase: Option<String>,
    metadata: Map<String, Value>,
    /// Why an append failed, so that none may follow.
    pub(super) failure: Option<Arc<str>>,
}

/// What a store has of a run that is claimed.
#[derive(Default)]
pub(super) struct Past {
    /// The number of the last event, as the run itself says; there may be more.
    pub(super) last_seq: u64,
    /// As JSON.
    pub(super) metadata: String,
    pub(super) last: LastRow,
}

/// What the last row of a run says of it.
#[derive(Default)]
pub(super) struct LastRow {
    pub(super) last_seq: u64,
    pub(super) at_us: i64,
    pub(super) percentage: f64,
    pub(super) phase: Option<String>,
}

impl Held {
    /// A run that goes on from there; `None` where it begins. Fails where some of it is missing.
    pub(super) fn new(run: &RunId, epoch: u64, past: Option<Past>) -> Result<Self, JournalError> {
        let metadata = match &past {
            None => Map::new(),
            Some(past) => serde_json::from_str(&past.metadata)
                .map_err(|error| damaged(run, format!("what is kept of its metadata: {error}")))?,
        };
        let Past { last_seq: expected, last, .. } = past.unwrap_or_default();
        let LastRow { last_seq, at_us, percentage, phase } = last;
        if last_seq < expected {
            return Err(damaged(run, format!("event {expected} is missing")));
        }
        let id = run.to_string().into();
        Ok(Self { epoch, id, last_seq, at_us, percentage, phase, metadata, failure: None })
    }

    /// Whether an append may be written, as far as that can be seen without the store. Once one may not, none may.
    pub(super) fn check(&mut self, append: &mut Appended) -> Result<(), JournalError> {
        let run = &append.lease.run;
        // Whoever did not wait for the earlier one learns here why it failed.
        if let Some(failure) = &self.failure {
            return Err(write(run, failure.to_string()));
        }
        let conflict = (!append.is_empty() && append.first != self.last_seq + 1).then(|| JournalError::Conflict {
            run: run.clone(),
            found: append.first,
            last: self.last_seq,
        });
        let fault = conflict.or(append.fault.take());
        match fault {
            None => Ok(()),
            Some(fault) => {
                self.fail(&fault);
                Err(fault)
            }
        }
    }

    /// Whether it only adds events, and they are the next ones.
    #[cfg(feature = "sqlite")]
    pub(super) fn only_adds(&self, append: &Appended) -> bool {
        let is_sound = self.failure.is_none() && append.fault.is_none() && append.first == self.last_seq + 1;
        is_sound && append.changes.is_none() && !append.release
    }

    /// An append failed.
    pub(super) fn fail(&mut self, error: &dyn std::error::Error) {
        // What the store says, and not what is said around it.
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        self.failure.get_or_insert_with(|| why.into());
    }

    /// Where it stands, for [`Self::go_back`].
    #[cfg(feature = "sqlite")]
    pub(super) fn mark(&self) -> LastRow {
        let Self { last_seq, at_us, percentage, phase, .. } = self;
        LastRow { last_seq: *last_seq, at_us: *at_us, percentage: *percentage, phase: phase.clone() }
    }

    /// What was put down since then, which were only events, was not written.
    #[cfg(feature = "sqlite")]
    pub(super) fn go_back(&mut self, to: LastRow) {
        LastRow { last_seq: self.last_seq, at_us: self.at_us, percentage: self.percentage, phase: self.phase } = to;
    }

    /// The row of an append, which then counts as written.
    pub(super) fn put_down(&mut self, append: Appended) -> Pending {
        if !append.is_empty() {
            self.last_seq = append.last;
            self.at_us = append.at_us.unwrap_or(self.at_us);
            self.percentage = append.percentage.unwrap_or(self.percentage);
            self.phase = append.phase.or(self.phase.take());
        }
        let mut changes = append.changes;
        if let Some(changes) = changes.as_mut().filter(|changes| !changes.digest.metadata.is_empty()) {
            self.metadata.append(&mut changes.digest.metadata);
            changes.metadata = Some(self.metadata.clone());
        }
        Pending {
            key: append.lease.key,
            epoch: append.lease.epoch,
            run: self.id.clone(),
            first: append.first,
            last: append.last,
            at_us: self.at_us,
            percentage: self.percentage,
            phase: self.phase.clone(),
            body: append.body,
            changes,
        }
    }
}

/// A row to be written, and what goes with it.
pub(super) struct Pending {
    pub(super) key: i64,
    pub(super) epoch: u64,
    pub(super) run: Arc<str>,
    /// 0 where there are no events.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) at_us: i64,
    pub(super) percentage: f64,
    pub(super) phase: Option<String>,
    pub(super) body: String,
    pub(super) changes: Option<Box<Changes>>,
}

impl Pending {
    /// Whether `later` may be put into it.
    pub(super) fn takes(&self, later: &Self) -> bool {
        self.has_room((later.key, later.epoch), &later.body, LONGEST_BODY)
    }

    /// Whether what the lease of this key and epoch brings may be put into it, where a row has so many bytes at most.
    pub(super) fn has_room(&self, lease: (i64, u64), more: &str, most: usize) -> bool {
        (self.key, self.epoch) == lease && self.body.len() + more.len() <= most
    }

    /// The checksum of the row; `None` where there are no events.
    pub(super) fn checksum(&self) -> Option<u32> {
        let row = Row {
            first_seq: self.first,
            last_seq: self.last,
            epoch: self.epoch,
            at_us: self.at_us,
            percentage: self.percentage,
            phase: self.phase.as_deref().map(str::as_bytes),
            body: self.body.as_bytes(),
        };
        (self.first > 0).then(|| row.checksum(&self.run))
    }

    /// Puts what comes later behind it.
    pub(super) fn merge(&mut self, later: Self) {
        if later.first > 0 {
            if self.first > 0 {
                join(&mut self.body, &later.body);
            } else {
                (self.first, self.body) = (later.first, later.body);
            }
            (self.last, self.at_us) = (later.last, later.at_us);
            (self.percentage, self.phase) = (later.percentage, later.phase);
        }
        match (&mut self.changes, later.changes) {
            (Some(changes), Some(later)) => changes.merge(*later),
            (changes @ None, later) => *changes = later,
            (Some(_), None) => {}
        }
    }
}
