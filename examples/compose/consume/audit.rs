//! The audit: who changed what, and to which status.

use std::collections::BTreeMap;
use std::fs::File;

use serde::Serialize;
use step_machine::Observer;
use step_machine::event::{Event, Kind, RunStart, RunStatus, StepStatus};

use super::Facts;
use super::update::timestamp;
use super::updates::append;

/// Appends each change of a status to a file.
pub(super) struct Audit {
    file: Option<File>,
    project: String,
    deployment: String,
    /// Who started the run, for which ticket, and the like.
    labels: BTreeMap<String, String>,
}

/// One change.
#[derive(Serialize)]
struct Entry<'a> {
    timestamp: String,
    project: &'a str,
    deployment_id: &'a str,
    run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    status: &'static str,
    /// The kind of the error, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
}

impl Audit {
    pub(super) fn new(file: File, facts: &Facts) -> Self {
        let Facts { project, deployment, earlier } = facts.clone();
        let labels = earlier.map(|run| run.labels().clone()).unwrap_or_default();
        Self { file: Some(file), project, deployment, labels }
    }
}

impl Observer for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn event(&mut self, event: &Event) {
        if let Kind::RunStart(start) = &event.kind {
            let RunStart { labels, .. } = &**start;
            self.labels.clone_from(labels);
        }
        let Some((status, kind)) = change(event) else { return };
        let entry = Entry {
            timestamp: timestamp(event),
            project: &self.project,
            deployment_id: &self.deployment,
            run: event.run.to_string(),
            step: event.step(),
            status,
            kind,
            labels: &self.labels,
        };
        append(&mut self.file, "--audit", &entry);
    }
}

/// The status that a step or the run takes with this event, with the kind of the error that it takes it for.
fn change(event: &Event) -> Option<(&'static str, Option<&str>)> {
    Some(match &event.kind {
        Kind::RunResume(resume) if resume.rollback => (RunStatus::RollingBack.as_str(), None),
        Kind::RunStart(_) | Kind::RunResume(_) => (RunStatus::Running.as_str(), None),
        Kind::StepStart(_) => (StepStatus::Running.as_str(), None),
        Kind::StepEnd(end) => (end.status.as_str(), end.error.as_ref().map(|error| &*error.kind)),
        Kind::UndoEnd(end) => (end.status.as_str(), end.error.as_ref().map(|error| &*error.kind)),
        Kind::RunEnd(end) => (end.status.as_str(), end.failure.as_ref().map(|failure| &*failure.error.kind)),
        _ => return None,
    })
}
