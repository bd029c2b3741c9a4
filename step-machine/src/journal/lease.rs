//! Who may write to a run.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::run_id::RunId;
use crate::time::rfc3339;

/// What somebody asks for who wants to write to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The run; the journal need not have it yet.
    pub run: RunId,
    /// The names of things that only one run at a time may touch.
    pub exclusive: Vec<String>,
    /// Whether to take the run, and these names, from an owner that lives: its next write is refused.
    pub take_over: bool,
}

impl Claim {
    /// Asks for a run, and for nothing beside it.
    pub fn of(run: impl Into<RunId>) -> Self {
        Self { run: run.into(), exclusive: Vec::new(), take_over: false }
    }
}

/// The right to write to a run, as long as nobody takes it over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Goes up by one each time that the run is claimed: a journal refuses what comes under an older one.
    pub epoch: u64,
    /// For the journal's own use.
    pub key: i64,
}

impl Lease {
    /// A lease as a journal gives it.
    pub fn new(run: RunId, epoch: u64, key: i64) -> Self {
        Self { run, epoch, key }
    }
}

/// A run that was claimed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Claimed {
    /// The right to write to it.
    pub lease: Lease,
    /// All that the journal has of it, in order.
    pub events: Vec<Event>,
}

impl Claimed {
    /// What a journal answers to a claim.
    pub fn new(lease: Lease, events: Vec<Event>) -> Self {
        Self { lease, events }
    }
}

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The name of the machine.
    pub host: String,
    /// The id of the process there.
    pub pid: u32,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
}

impl Owner {
    /// This process, from `since` on, on a machine of this name.
    pub fn this_process(host: impl Into<String>, since: SystemTime) -> Self {
        Self { host: host.into(), pid: std::process::id(), since }
    }

    /// An owner as a journal has kept it.
    pub fn new(host: impl Into<String>, pid: u32, since: SystemTime) -> Self {
        Self { host: host.into(), pid, since }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = humantime::format_rfc3339_seconds(self.since);
        write!(f, "process {} on {} (since {since})", self.pid, self.host)
    }
}

/// What is to be added to a run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Append<'a> {
    /// The right to do so.
    pub lease: &'a Lease,
    /// The events; their numbers follow that of the last one that was appended under this lease, acknowledged or not.
    pub events: &'a [Event],
    /// Whether the lease ends with them.
    pub release: bool,
    /// Who waits for them.
    pub waiting: Waiting,
}

impl<'a> Append<'a> {
    /// Adds events that a thread waits for.
    pub fn new(lease: &'a Lease, events: &'a [Event]) -> Self {
        Self { lease, events, release: false, waiting: Waiting::Thread }
    }
}

/// Who waits for what is appended. A journal may use it to be quick; the result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// The thread that calls: nothing else of this run goes on meanwhile.
    Thread,
    /// A task, while nothing else of this run goes on.
    Task,
    /// A task, beside others of this run.
    Sibling,
    /// Nobody: these are news of a step that goes on.
    Nobody,
}
