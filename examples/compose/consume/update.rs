//! An update: what the users of such a tool are told of each event.

use serde::Serialize;
use serde_json::{Map, Value, json};
use step_machine::event::{Event, Kind, Level, RunStatus, StepStatus, TaskStatus, UndoStatus};
use step_machine::{RunState, StepInfo};

use super::Facts;

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Update {
    pub(super) project: String,
    pub(super) deployment_id: String,
    pub(super) phase: String,
    /// How much of the phase is done, from 0 to 1.
    pub(super) phase_progress: f64,
    /// How much of the deployment is done, from 0 to 1.
    pub(super) total_progress: f64,
    /// In the file by the names that users of such a tool know.
    pub(super) level: Word,
    pub(super) message: String,
    /// RFC 3339, in UTC.
    pub(super) timestamp: String,
    /// In seconds.
    pub(super) elapsed: f64,
    pub(super) metadata: Map<String, Value>,
}

/// A level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Word(pub(super) Level);

impl Serialize for Word {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Level::Debug => "verbose",
            level => level.as_str(),
        })
    }
}

/// Makes updates of events.
pub(super) struct Teller {
    project: String,
    deployment: String,
    state: Option<RunState>,
    /// The id of the step that was told of last.
    phase: Option<String>,
}

impl Teller {
    pub(super) fn new(facts: &Facts) -> Self {
        let Facts { project, deployment, earlier } = facts.clone();
        Self { project, deployment, state: earlier, phase: None }
    }

    /// What there is to say of an event.
    pub(super) fn update(&mut self, event: &Event) -> Update {
        self.follow(event);
        let phase = event.step().map(str::to_owned).or_else(|| self.phase.clone()).or_else(|| self.reached());
        self.phase.clone_from(&phase);
        let phase = phase.unwrap_or_default();
        let step = self.state.as_ref().and_then(|state| state.step(&phase));
        let phase_progress = step.map_or(0.0, step_machine::StepState::fraction);
        let total = self.state.as_ref().map_or(0.0, |state| state.progress().percentage);
        let News { level, message, metadata } = news(event);
        Update {
            project: self.project.clone(),
            deployment_id: self.deployment.clone(),
            phase_progress,
            total_progress: total / 100.0,
            level: Word(level),
            message: message.unwrap_or_else(|| self.name(&phase)),
            phase: phase.replace('-', "_"),
            timestamp: timestamp(event),
            elapsed: event.elapsed.as_secs_f64(),
            metadata,
        }
    }

    fn follow(&mut self, event: &Event) {
        match &mut self.state {
            // An event that does not fit is one of a run that is not this one: there is none.
            Some(state) => drop(state.advance(event)),
            None => self.state = RunState::start(event).ok(),
        }
    }

    /// Where a run begins, or goes on.
    fn reached(&self) -> Option<String> {
        let state = self.state.as_ref()?;
        let current = state.progress().current.map(|step| step.id().to_owned());
        current.or_else(|| Some(state.plan().steps.first()?.id.clone()))
    }

    fn name(&self, step: &str) -> String {
        let steps = self.state.iter().flat_map(|state| &state.plan().steps);
        let named = steps.into_iter().find(|info: &&StepInfo| info.id == step);
        named.map_or_else(|| step.to_owned(), |info| info.name.clone())
    }
}

/// When it happened, as the JSON of the event has it.
pub(super) fn timestamp(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value["at"].as_str().unwrap_or_default().to_owned()
}

/// What is new with an event.
struct News {
    level: Level,
    /// The name of the step says enough where there is none.
    message: Option<String>,
    metadata: Map<String, Value>,
}

impl News {
    fn of(level: Level, message: impl Into<String>) -> Self {
        Self { level, message: Some(message.into()), metadata: Map::new() }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}

fn news(event: &Event) -> News {
    match &event.kind {
        Kind::RunStart(start) => News::of(Level::Info, "the deployment begins").with("labels", json!(start.labels)),
        Kind::RunResume(resume) if resume.rollback => News::of(Level::Warning, "the rollback goes on"),
        Kind::RunResume(_) => News::of(Level::Info, "the deployment goes on"),
        Kind::StepStart(start) => News::of(Level::Info, "begins").with("attempt", start.attempt),
        Kind::StepUpdate(update) => News {
            level: update.level.unwrap_or(Level::Debug),
            message: update.message.as_ref().map(ToString::to_string),
            metadata: update.metadata.clone(),
        },
        Kind::StepRetry(retry) => News::of(Level::Warning, format!("tried again: {}", retry.error.message))
            .with("kind", &*retry.error.kind)
            .with("attempt", retry.attempt),
        Kind::StepEnd(end) => step_end(end),
        Kind::Stdout(line) | Kind::Stderr(line) => News::of(Level::Debug, &*line.line),
        Kind::TaskStart(start) => News::of(Level::Debug, &*start.name).with("task", &*start.task),
        Kind::TaskUpdate(update) => {
            let message = update.message.as_ref().unwrap_or(&update.task).to_string();
            let news = News::of(Level::Debug, message).with("task", &*update.task);
            update.fraction.into_iter().fold(news, |news, fraction| news.with("task_progress", fraction))
        }
        Kind::TaskEnd(end) => {
            let level = if end.status == TaskStatus::Completed { Level::Debug } else { Level::Warning };
            let message = end
                .message
                .as_ref()
                .map_or_else(|| format!("{} is {}", end.task, end.status), |text| format!("{}: {text}", end.task));
            News::of(level, message).with("task", &*end.task)
        }
        Kind::Stalled(_) => News::of(Level::Warning, "nothing was heard for too long"),
        Kind::UndoStart(_) => News::of(Level::Warning, "is taken back"),
        Kind::UndoEnd(end) if end.status == UndoStatus::UndoFailed => {
            let why = end.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            News::of(Level::Error, format!("cannot be taken back: {why}"))
        }
        Kind::UndoEnd(_) => News::of(Level::Warning, "was taken back"),
        Kind::RunEnd(end) => run_end(end),
        _ => News { level: Level::Debug, message: None, metadata: Map::new() },
    }
}

fn step_end(end: &step_machine::event::StepEnd) -> News {
    let (level, text) = match (end.status, &end.error) {
        (StepStatus::Completed, _) => (Level::Success, "is done".to_owned()),
        (StepStatus::Skipped, Some(error)) => (Level::Warning, format!("left out, as it failed: {}", error.message)),
        (StepStatus::Skipped, None) => (Level::Info, "left out".to_owned()),
        (StepStatus::Cancelled, _) => (Level::Warning, "cancelled".to_owned()),
        (_, Some(error)) => (Level::Error, error.message.clone()),
        (status, None) => (Level::Error, status.to_string()),
    };
    let news = News::of(level, text).with("status", end.status.as_str());
    end.error.iter().fold(news, |news, error| news.with("kind", &*error.kind))
}

fn run_end(end: &step_machine::event::RunEnd) -> News {
    let level = match end.status {
        RunStatus::Completed if end.warnings == 0 => Level::Success,
        RunStatus::Completed | RunStatus::Cancelled => Level::Warning,
        _ => Level::Error,
    };
    let news = News::of(level, format!("the deployment is {}", end.status.as_str().replace('_', " ")));
    let news = news.with("status", end.status.as_str()).with("warnings", end.warnings);
    end.failure.iter().fold(news, |news, failure| news.with("kind", &*failure.error.kind))
}
