//! What the rows of a run say of it, as far as they can be read: one that cannot is not to hide the others.

use std::error::Error;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Abandoned, Owner, RunSummary};
use crate::event::RunStatus;
use crate::time::timestamp;

/// The columns of a run, each as its store gave it.
pub(super) struct Columns<E> {
    pub(super) run: Result<String, E>,
    pub(super) workflow: Result<Option<String>, E>,
    pub(super) status: Result<Option<String>, E>,
    pub(super) phase: Result<Option<String>, E>,
    /// That of its last row, as the time of `updated_at`; none where there is no row.
    pub(super) percentage: Result<Option<f64>, E>,
    /// As JSON.
    pub(super) labels: Result<String, E>,
    /// As JSON.
    pub(super) metadata: Result<String, E>,
    pub(super) started_at: Result<Option<SystemTime>, E>,
    pub(super) updated_at: Result<Option<SystemTime>, E>,
    pub(super) parent: Result<Option<String>, E>,
    pub(super) error: Result<Option<String>, E>,
    pub(super) owner: Result<Option<Owner>, E>,
    pub(super) abandoned_why: Result<Option<String>, E>,
    pub(super) abandoned_at: Result<Option<SystemTime>, E>,
}

/// What is said of a run of which not all columns can be read.
pub(super) fn unreadable(fault: &str) -> String {
    format!("what the journal has of it cannot be read: {fault}")
}

/// What is read, and what could not be.
#[derive(Default)]
struct Reading {
    /// The first thing that is wrong.
    fault: Option<String>,
}

impl<E: Error> Columns<E> {
    /// All of it that can be read. Where that is not all, the error of the run says why; `fault` is what is known already.
    pub(super) fn summary(self, fault: Option<String>) -> RunSummary {
        let (mut summary, fault) = self.read(fault);
        if let Some(fault) = fault {
            summary.error = Some(unreadable(&fault));
        }
        summary
    }

    /// All of it that can be read, and the first thing that cannot.
    pub(super) fn read(self, fault: Option<String>) -> (RunSummary, Option<String>) {
        let mut reading = Reading { fault };
        let updated_at = reading.time("last event", self.updated_at, SystemTime::UNIX_EPOCH);
        let why = reading.column("reason why it was given up", self.abandoned_why);
        let abandoned = why.map(|why| Abandoned::new(why, reading.time("end", self.abandoned_at, updated_at)));
        let summary = RunSummary {
            run: reading.column("id", self.run).into(),
            workflow: reading.there("workflow", self.workflow).unwrap_or_default(),
            status: reading.status(self.status),
            phase: reading.column("phase", self.phase),
            percentage: reading.there("progress", self.percentage).unwrap_or_default(),
            labels: reading.json("labels", self.labels),
            metadata: reading.json("metadata", self.metadata),
            started_at: reading.time("start", self.started_at, updated_at),
            updated_at,
            parent: reading.column("parent", self.parent).map(Into::into),
            error: reading.column("error", self.error),
            owner: reading.column("owner", self.owner),
            abandoned,
        };
        (summary, reading.fault)
    }
}

impl Reading {
    fn wrong(&mut self, name: &str, why: impl std::fmt::Display) {
        self.fault.get_or_insert_with(|| format!("its {name}: {why}"));
    }

    fn column<T: Default, E: Error>(&mut self, name: &str, value: Result<T, E>) -> T {
        value.unwrap_or_else(|error| {
            // Stores say which column it was; what is wrong with it says the innermost.
            let innermost = std::iter::successors(Some(&error as &dyn Error), |error| (*error).source()).last();
            self.wrong(name, innermost.unwrap_or(&error));
            T::default()
        })
    }

    /// What has to be there.
    fn there<T, E: Error>(&mut self, name: &str, value: Result<Option<T>, E>) -> Option<T> {
        let value = self.column(name, value);
        if value.is_none() {
            self.wrong(name, "it is missing");
        }
        value
    }

    fn json<T: DeserializeOwned + Default, E: Error>(&mut self, name: &str, text: Result<String, E>) -> T {
        let text = self.column(name, text);
        // Where there is no text, why is known already.
        self.column(name, serde_json::from_str(&text))
    }

    /// A run is to be looked at where its status cannot be read, and so is no run that has ended.
    fn status<E: Error>(&mut self, word: Result<Option<String>, E>) -> RunStatus {
        let word = self.there("status", word);
        let status = word.and_then(|word| self.column("status", serde_json::from_value(Value::from(word)).map(Some)));
        status.unwrap_or(RunStatus::Running)
    }

    /// A time that can be written as text.
    fn time<E: Error>(&mut self, name: &str, time: Result<Option<SystemTime>, E>, instead: SystemTime) -> SystemTime {
        let Some(time) = self.there(name, time) else { return instead };
        let legible = timestamp(time);
        if legible != time {
            self.wrong(name, "it is out of range");
        }
        legible
    }
}
