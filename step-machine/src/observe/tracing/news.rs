//! The events in the spans: messages, lines of output, and what went wrong.

use std::time::Duration;

use ::tracing::{debug, enabled, error, info, trace, warn};
use serde_json::Value;

use super::spans::whole;
use super::{TARGET, Tracing};
use crate::event::{
    Event, Level, OutputLine, Reason, RunEnd, RunStatus, Stalled, StepEnd, StepRetry, StepStatus, StepUpdate, TaskEnd,
    TaskStart, TaskStatus, TaskUpdate, UndoEnd, UndoStatus,
};

/// Writes at a level that is known only now.
macro_rules! write_at {
    ($level:expr, $($event:tt)+) => {
        match $level {
            Level::Debug => debug!($($event)+),
            Level::Info | Level::Success => info!($($event)+),
            Level::Warning => warn!($($event)+),
            Level::Error => error!($($event)+),
        }
    };
}

pub(super) fn updated(tracing: &Tracing, event: &Event, update: &StepUpdate) {
    if let Some(message) = &update.message {
        let parent = tracing.parent(event);
        write_at!(update.level.unwrap_or(Level::Info), target: TARGET, parent: parent, "{message}");
    }
    if !update.metadata.is_empty() && enabled!(target: TARGET, ::tracing::Level::DEBUG) {
        let metadata = Value::Object(update.metadata.clone());
        debug!(target: TARGET, parent: tracing.parent(event), { workflow.step.metadata = %metadata }, "metadata");
    }
    // The one kind of news that comes often: looked at first, as nothing is to be made ready for nobody.
    if let Some(fraction) = update.fraction
        && enabled!(target: TARGET, ::tracing::Level::TRACE)
    {
        trace!(target: TARGET, parent: tracing.parent(event), { workflow.step.fraction = fraction }, "progress");
    }
}

pub(super) fn printed(tracing: &Tracing, event: &Event, stream: &'static str, line: &OutputLine) {
    if enabled!(target: TARGET, ::tracing::Level::DEBUG) {
        debug!(target: TARGET, parent: tracing.parent(event), { log.iostream = stream }, "{}", line.line);
    }
}

pub(super) fn task_started(tracing: &Tracing, event: &Event, start: &TaskStart) {
    let parent = tracing.parent(event);
    debug!(target: TARGET, parent: parent, { workflow.task.id = %start.task }, "task {} began", start.name);
}

pub(super) fn task_updated(tracing: &Tracing, event: &Event, update: &TaskUpdate) {
    if let Some(message) = &update.message {
        let parent = tracing.parent(event);
        debug!(target: TARGET, parent: parent, { workflow.task.id = %update.task }, "{message}");
    }
    if let Some(fraction) = update.fraction
        && enabled!(target: TARGET, ::tracing::Level::TRACE)
    {
        let parent = tracing.parent(event);
        trace!(
            target: TARGET, parent: parent, { workflow.task.id = %update.task, workflow.task.fraction = fraction },
            "progress"
        );
    }
}

pub(super) fn task_ended(tracing: &Tracing, event: &Event, end: &TaskEnd) {
    let (parent, why) = (tracing.parent(event), Why(end.message.as_deref()));
    if end.status == TaskStatus::Failed {
        warn!(target: TARGET, parent: parent, { workflow.task.id = %end.task }, "task {} failed{why}", end.task);
    } else {
        debug!(target: TARGET, parent: parent, { workflow.task.id = %end.task }, "task {} {}{why}", end.task, end.status);
    }
}

pub(super) fn stalled(tracing: &Tracing, event: &Event, stalled: &Stalled) {
    let parent = tracing.parent(event);
    let silent_ms = millis(stalled.silent);
    warn!(
        target: TARGET, parent: parent, { workflow.step.silent_ms = silent_ms },
        "nothing was heard for {:?}", stalled.silent
    );
}

pub(super) fn retried(tracing: &Tracing, event: &Event, retry: &StepRetry) {
    let StepRetry { attempt, delay, error, .. } = retry;
    let parent = tracing.parent(event);
    warn!(
        target: TARGET, parent: parent, { "error.type" = %error.kind, workflow.step.retry_delay_ms = millis(*delay) },
        "attempt {attempt} failed, the next one follows in {delay:?}: {}", whole(error)
    );
}

pub(super) fn step_ended(tracing: &Tracing, event: &Event, end: &StepEnd) {
    let (parent, step, why) = (tracing.parent(event), &end.step, Why(end.message.as_deref()));
    match (&end.error, end.status) {
        (Some(error), StepStatus::Failed) => {
            error!(target: TARGET, parent: parent, { "error.type" = %error.kind }, "{step} failed: {}", whole(error));
        }
        (Some(error), StepStatus::Skipped) => warn!(
            target: TARGET, parent: parent, { "error.type" = %error.kind },
            "{step} failed, and the run goes on without it: {}", whole(error)
        ),
        (_, StepStatus::Cancelled) if end.reason == Some(Reason::Panicked) => {
            error!(target: TARGET, parent: parent, "{step} panicked");
        }
        (_, StepStatus::Cancelled) => warn!(target: TARGET, parent: parent, "{step} was cancelled"),
        (_, StepStatus::Skipped) => info!(target: TARGET, parent: parent, "{step} skipped{why}"),
        (_, status) => debug!(target: TARGET, parent: parent, "{step} {status}"),
    }
}

pub(super) fn undo_ended(tracing: &Tracing, event: &Event, end: &UndoEnd) {
    let (parent, step, why) = (tracing.parent(event), &end.step, Why(end.message.as_deref()));
    match (&end.error, end.status) {
        (Some(error), _) => error!(
            target: TARGET, parent: parent, { "error.type" = %error.kind }, "undoing {step} failed: {}", whole(error)
        ),
        (None, UndoStatus::UndoFailed) => error!(target: TARGET, parent: parent, "undoing {step} failed"),
        (None, UndoStatus::Skipped) => warn!(target: TARGET, parent: parent, "{step} is left as it is{why}"),
        (None, UndoStatus::Undone) => info!(target: TARGET, parent: parent, "{step} undone"),
    }
}

pub(super) fn run_ended(tracing: &Tracing, event: &Event, end: &RunEnd, has_failed: bool) {
    let (parent, status) = (tracing.parent(event), end.status);
    match (status, &end.failure) {
        (_, Some(failure)) if has_failed => error!(
            target: TARGET, parent: parent, { "error.type" = %failure.error.kind },
            "{status}{}: {}", At(failure.step.as_ref()), whole(&failure.error)
        ),
        (_, None) if has_failed => error!(target: TARGET, parent: parent, "{status}"),
        (RunStatus::Completed, _) if end.warnings > 0 => {
            warn!(target: TARGET, parent: parent, "completed, warnings: {}", end.warnings);
        }
        (RunStatus::Cancelled, _) => warn!(target: TARGET, parent: parent, "cancelled"),
        _ => info!(target: TARGET, parent: parent, "{status}"),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Why, after what; nothing where it is not known.
struct Why<'a>(Option<&'a str>);

impl std::fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// Where, after what.
struct At<'a>(Option<&'a crate::event::StepRef>);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |step| write!(f, " at {step}"))
    }
}
