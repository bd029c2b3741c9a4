//! What events change in the summary of their run.

use serde_json::{Map, Value};

use super::{Owner, RunSummary};
use crate::event::{Event, Kind, RunStatus};

/// What some events of one run change in what a journal knows of it without reading it.
///
/// A journal that answers a [`RunQuery`](super::RunQuery) from columns of its own brings these up to date by it. What
/// stands in the last event itself is not repeated here: its progress, and its time, unless it only says that a step
/// has stalled.
///
/// # Examples
///
/// ```
/// use step_machine::event::{EventLines, RunStatus};
/// use step_machine::journal::Digest;
///
/// let lines = r#"{"v":1,"run":"r","workflow":"w","seq":9,"at":"2026-01-01T00:00:01Z","elapsed_ms":1000.0,"type":"run_end","status":"completed","warnings":0}"#;
/// let events: Vec<_> = EventLines::new(lines.as_bytes()).collect::<Result<_, _>>()?;
/// assert_eq!(Digest::of(&events).status, Some(RunStatus::Completed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Digest {
    /// The status of the run, where it changed.
    pub status: Option<RunStatus>,
    /// What went wrong, where that changed: nothing any more, where the run goes on.
    pub error: Option<Option<String>>,
    /// What steps told machines.
    pub metadata: Map<String, Value>,
}

impl Digest {
    /// What `events`, which follow one another in one run, change.
    pub fn of(events: &[Event]) -> Self {
        events.iter().fold(Self::default(), Self::with)
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.error.is_none() && self.metadata.is_empty()
    }

    fn with(mut self, event: &Event) -> Self {
        match &event.kind {
            Kind::RunStart(_) => self.status = Some(RunStatus::Running),
            Kind::RunResume(resume) => {
                self.status = Some(if resume.rollback { RunStatus::RollingBack } else { RunStatus::Running });
                if !resume.rollback {
                    self.error = Some(None);
                }
            }
            Kind::UndoStart(_) | Kind::UndoEnd(_) => self.status = Some(RunStatus::RollingBack),
            Kind::RunEnd(end) => {
                self.status = Some(end.status);
                self.error = Some(end.failure.as_ref().map(|failure| failure.error.message.clone()));
            }
            Kind::StepUpdate(update) => self.metadata.extend(update.metadata.clone()),
            _ => {}
        }
        self
    }
}

impl RunSummary {
    /// The summary of a run after its first event; `None` where that is not its `run_start`.
    pub fn start(event: &Event) -> Option<Self> {
        let Kind::RunStart(start) = &event.kind else { return None };
        Some(Self {
            run: event.run.clone(),
            workflow: event.workflow.to_string(),
            status: RunStatus::Running,
            phase: None,
            percentage: 0.0,
            labels: start.labels.clone(),
            metadata: Map::new(),
            started_at: event.at,
            updated_at: event.at,
            owner: None,
            parent: start.parent.as_ref().map(|parent| parent.run.clone()),
            error: None,
            abandoned: None,
        })
    }

    /// Takes over what more events tell.
    pub fn follow(&mut self, events: &[Event]) {
        let digest = Digest::of(events);
        self.status = digest.status.unwrap_or(self.status);
        self.error = digest.error.unwrap_or(self.error.take());
        self.metadata.extend(digest.metadata);
        if let Some(heard) = events.iter().rev().find(|event| event.is_heard()) {
            self.updated_at = heard.at;
        }
        if let Some(progress) = events.iter().rev().find_map(|event| event.progress.as_ref()) {
            self.percentage = progress.percentage;
            self.phase = progress.current.as_ref().map(ToString::to_string).or(self.phase.take());
        }
    }

    /// The same with who drives the run.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<Owner>) -> Self {
        self.owner = owner;
        self
    }

    /// Whether `query` finds it.
    pub fn fits(&self, query: &super::RunQuery) -> bool {
        let all = |labels: &std::collections::BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
        };
        query.run.as_ref().is_none_or(|run| *run == self.run)
            && query.workflow.as_ref().is_none_or(|workflow| *workflow == self.workflow)
            && (query.statuses.is_empty() || query.statuses.contains(&self.status))
            && all(&query.labels)
            && query.silent_since.is_none_or(|since| self.updated_at <= since)
            && (query.nested || self.parent.is_none())
            && (query.abandoned || self.abandoned.is_none())
    }
}
