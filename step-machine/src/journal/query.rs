//! Finding runs in a journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Owner;
use crate::event::RunStatus;
use crate::run_id::RunId;
use crate::time::rfc3339;

/// Which runs are looked for; everything is optional, and all that is set has to fit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use step_machine::{Journal, MemoryJournal};
/// use step_machine::journal::RunQuery;
///
/// let journal = MemoryJournal::new();
/// let silent = journal.list(&RunQuery::unfinished().workflow("deploy").silent_for(Duration::from_secs(300)));
/// assert!(silent.wait()?.is_empty());
/// # Ok::<(), step_machine::JournalError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a journal is asked with `list`"]
#[non_exhaustive]
pub struct RunQuery {
    /// Only this run.
    pub run: Option<RunId>,
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// Only runs of these statuses; of all where it is empty.
    pub statuses: Vec<RunStatus>,
    /// Only runs that have all these labels.
    pub labels: BTreeMap<String, String>,
    /// Only runs of which something was last heard at or before then.
    pub silent_since: Option<SystemTime>,
    /// Whether runs that are nested in a step of another one count too.
    pub nested: bool,
    /// Whether runs that were abandoned count too.
    pub abandoned: bool,
    /// Those first that the journal has had for the shortest time, in place of those whose last event is the newest.
    pub last_begun_first: bool,
    /// No more than so many, those first that come first; all without it.
    pub limit: Option<usize>,
}

impl RunQuery {
    /// All runs that are nested in no other one and were not abandoned.
    pub fn all() -> Self {
        Self::default()
    }

    /// The runs that have not ended: a process drives them, or one did that crashed.
    pub fn unfinished() -> Self {
        Self { statuses: vec![RunStatus::Running, RunStatus::RollingBack], ..Self::default() }
    }

    /// Only this run, nested or abandoned or not.
    pub fn of(run: impl Into<RunId>) -> Self {
        Self { run: Some(run.into()), nested: true, abandoned: true, ..Self::default() }
    }

    /// Only runs of this workflow.
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.workflow = Some(name.into());
        self
    }

    /// Only runs of this status; may be called several times.
    pub fn status(mut self, status: RunStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Only runs with this label; may be called several times.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Only runs of which nothing was heard for so long.
    pub fn silent_for(mut self, span: Duration) -> Self {
        // What is longer ago than all time is nothing.
        self.silent_since = Some(SystemTime::now().checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH));
        self
    }

    /// Those first that began last, in place of those of which something was heard last. With a [`limit`](Self::limit)
    /// this is quick, however many runs there are: a journal in a database has not to look at all of them.
    pub fn last_begun_first(mut self) -> Self {
        self.last_begun_first = true;
        self
    }

    /// No more than so many, the newest first.
    pub fn limit(mut self, runs: usize) -> Self {
        self.limit = Some(runs);
        self
    }

    /// Those of all runs that have not ended which this query finds, but for those in which one is nested that was heard
    /// of since.
    pub(super) fn silent_among(&self, mut unfinished: Vec<RunSummary>) -> Vec<RunSummary> {
        let since = self.silent_since.unwrap_or_else(SystemTime::now);
        let parents: HashMap<RunId, RunId> =
            unfinished.iter().filter_map(|run| Some((run.run.clone(), run.parent.clone()?))).collect();
        let mut speaking = HashSet::new();
        for run in unfinished.iter().filter(|run| run.updated_at > since) {
            let mut inner = &run.run;
            while let Some(outer) = parents.get(inner).filter(|outer| speaking.insert((*outer).clone())) {
                inner = outer;
            }
        }
        unfinished.retain(|run| run.fits(self) && !speaking.contains(&run.run));
        unfinished
    }

    /// With the runs that are nested in a step of another one.
    pub fn with_nested(mut self) -> Self {
        self.nested = true;
        self
    }

    /// With the runs that were abandoned.
    pub fn with_abandoned(mut self) -> Self {
        self.abandoned = true;
        self
    }
}

/// What a journal knows of a run without reading all of it: also of one that it cannot read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The name of its workflow.
    pub workflow: String,
    /// Its status.
    pub status: RunStatus,
    /// The step that it is at, or was at last.
    pub phase: Option<String>,
    /// How much of it is done, 0 to 100.
    pub percentage: f64,
    /// Who started it, for which ticket, and the like.
    pub labels: BTreeMap<String, String>,
    /// What its steps told machines, all in one; where two told something under one key, what was told last.
    pub metadata: Map<String, Value>,
    /// When it first started.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// When something was last heard of it: its last event but for those that say that a step has stalled.
    #[serde(with = "rfc3339")]
    pub updated_at: SystemTime,
    /// Who drives it, or did when it crashed.
    pub owner: Option<Owner>,
    /// The run that it is nested in.
    pub parent: Option<RunId>,
    /// What went wrong, where it ended with a failure; or why what the journal has of it cannot be read.
    pub error: Option<String>,
    /// That it was given up, and why.
    pub abandoned: Option<Abandoned>,
}

/// That a run was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Abandoned {
    /// Why.
    pub why: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

impl Abandoned {
    /// Given up at `at`.
    pub fn new(why: impl Into<String>, at: SystemTime) -> Self {
        Self { why: why.into(), at }
    }
}
