//! The spans, and what is written on them.

use std::time::Duration;

use ::tracing::field::{Empty, display};
use ::tracing::span::Id;
use ::tracing::{Span, info_span};

use super::{Run, TARGET};
use crate::event::{
    ErrorRecord, Event, Reason, RunEnd, RunResume, RunStart, StepEnd, StepRef, StepStart, StepStatus, UndoEnd,
    UndoStart, UndoStatus,
};
use crate::observe::Scope;
use crate::workflow::Plan;

/// A body inside of the span of its attempt. Held by itself, as what `Span::enter` gives cannot be kept beside its span.
pub(super) struct Inside(pub(super) Span);

impl Scope for Inside {
    fn enter(&mut self) {
        self.0.with_subscriber(|(id, subscriber)| subscriber.enter(id));
    }

    fn leave(&mut self) {
        self.0.with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }
}

/// Opens the span of a run; one macro, so that all of them have the same fields.
macro_rules! run_span {
    ($event:expr, $resumed:expr, $rollback:expr) => {
        info_span!(
            target: TARGET,
            "workflow_run",
            otel.name = %$event.workflow,
            otel.status_code = Empty,
            otel.status_description = Empty,
            "error.type" = Empty,
            workflow.name = %$event.workflow,
            workflow.run.id = %$event.run,
            workflow.run.resumed = $resumed,
            workflow.run.rollback = $rollback,
            workflow.run.labels = Empty,
            workflow.run.parent.id = Empty,
            workflow.run.parent.step = Empty,
            workflow.run.steps = Empty,
            workflow.run.status = Empty,
            workflow.run.warnings = Empty,
            workflow.run.failed_step = Empty,
        )
    };
}

pub(super) fn of_run(event: &Event, start: &RunStart) -> Span {
    let span = run_span!(event, false, false);
    steps(&span, &start.plan);
    if let Some(parent) = &start.parent {
        span.record("workflow.run.parent.id", display(&parent.run));
        span.record("workflow.run.parent.step", parent.step.id());
    }
    // The keys are not known when the program is built, as those of fields have to be.
    if !start.labels.is_empty() && !span.is_disabled() {
        span.record("workflow.run.labels", serde_json::to_string(&start.labels).unwrap_or_default());
    }
    span
}

pub(super) fn of_resumed_run(event: &Event, resume: &RunResume) -> Span {
    let span = run_span!(event, true, resume.rollback);
    if let Some(plan) = &resume.plan {
        steps(&span, plan);
    }
    span
}

fn steps(span: &Span, plan: &Plan) {
    span.record("workflow.run.steps", count(plan.steps.len()));
}

/// As a field that is a number everywhere.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Opens the span of an attempt.
macro_rules! attempt_span {
    ($event:expr, $run:expr, $step:expr, $name:expr, $attempt:expr, $undo:expr, $interrupted:expr) => {
        info_span!(
            target: TARGET,
            parent: below($run),
            "workflow_step",
            otel.name = %$name,
            otel.status_code = Empty,
            otel.status_description = Empty,
            "error.type" = Empty,
            workflow.name = %$event.workflow,
            workflow.run.id = %$event.run,
            workflow.step.id = $step.id(),
            workflow.step.name = Empty,
            workflow.step.number = Empty,
            workflow.step.attempt = $attempt,
            workflow.step.undo = $undo,
            workflow.step.interrupted = $interrupted,
            workflow.step.outcome = Empty,
            workflow.step.reason = Empty,
            workflow.step.effect = Empty,
            workflow.step.duration_ms = Empty,
        )
    };
}

pub(super) fn of_attempt(event: &Event, run: &Run, start: &StepStart) -> Span {
    let span = attempt_span!(event, run, start.step, start.step, start.attempt, false, start.interrupted);
    describe(&span, run, &start.step);
    span
}

pub(super) fn of_undo(event: &Event, run: &Run, start: &UndoStart) -> Span {
    let name = format_args!("undo {}", start.step);
    let span = attempt_span!(event, run, start.step, name, start.attempt, true, false);
    describe(&span, run, &start.step);
    span
}

/// What a span has for its parent that is one of the run's.
fn below(run: &Run) -> Option<Id> {
    run.span.id().or_else(|| Span::current().id())
}

fn describe(span: &Span, run: &Run, step: &StepRef) {
    let Some(plan) = &run.plan else { return };
    if let Some(index) = step.find(plan) {
        span.record("workflow.step.name", plan.steps[index].name.as_str());
        span.record("workflow.step.number", count(index + 1));
    }
}

pub(super) fn lasted(span: &Span, duration: Duration) {
    span.record("workflow.step.duration_ms", duration.as_secs_f64() * 1000.0);
}

/// How an attempt ended that is the last one.
pub(super) fn ended(span: &Span, end: &StepEnd) {
    let has_failed = end.status == StepStatus::Failed || end.reason == Some(Reason::Failed);
    match (end.status, end.reason) {
        // What a critical step that fails is, whatever that means for the run.
        _ if has_failed => failed(span, StepStatus::Failed.as_str(), end.error.as_deref()),
        (status, Some(Reason::Panicked)) => failed(span, status.as_str(), end.error.as_deref()),
        (status, _) => {
            span.record("workflow.step.outcome", status.as_str());
        }
    }
    if let Some(reason) = end.reason {
        span.record("workflow.step.reason", reason.as_str());
    }
}

pub(super) fn undone(span: &Span, end: &UndoEnd) {
    if end.status == UndoStatus::UndoFailed {
        failed(span, end.status.as_str(), end.error.as_ref());
    } else {
        span.record("workflow.step.outcome", end.status.as_str());
    }
}

/// An attempt that went wrong.
pub(super) fn failed(span: &Span, outcome: &str, error: Option<&ErrorRecord>) {
    span.record("workflow.step.outcome", outcome);
    if let Some(error) = error {
        let effect = if error.effect == crate::event::Effect::Known { "known" } else { "unknown" };
        span.record("workflow.step.effect", effect);
    }
    wrong(span, error);
}

pub(super) fn run_ended(span: &Span, end: &RunEnd, has_failed: bool) {
    span.record("workflow.run.status", end.status.as_str());
    span.record("workflow.run.warnings", count(end.warnings));
    if let Some(step) = end.failure.as_ref().and_then(|failure| failure.step.as_ref()) {
        span.record("workflow.run.failed_step", step.id());
    }
    if has_failed {
        wrong(span, end.failure.as_ref().map(|failure| &failure.error));
    }
}

fn wrong(span: &Span, error: Option<&ErrorRecord>) {
    span.record("otel.status_code", "ERROR");
    if let Some(error) = error.filter(|_| !span.is_disabled()) {
        span.record("otel.status_description", whole(error).as_str());
        span.record("error.type", error.kind.as_ref());
    }
}

/// An error with everything behind it, on one line.
pub(super) fn whole(error: &ErrorRecord) -> String {
    let mut whole = error.message.clone();
    for cause in &error.chain {
        whole.push_str(": ");
        whole.push_str(cause);
    }
    whole
}
