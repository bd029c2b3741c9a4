//! The run as spans and events of the crate `tracing`.

mod news;
mod spans;

use std::collections::HashMap;
use std::time::Duration;

use ::tracing::Span;
use ::tracing::span::Id;

use self::spans::Inside;
use super::{Observer, Scope};
use crate::event::{
    Event, OutputLine, RunEnd, RunResume, RunStart, RunStatus, Stalled, StepEnd, StepRef, StepRetry, StepStart,
    StepUpdate, TaskEnd, TaskStart, TaskUpdate, UndoEnd, UndoStart,
};
use crate::run_id::RunId;
use crate::workflow::SharedPlan;

/// What all spans and events of this observer are filtered by.
const TARGET: &str = "step_machine";

/// Makes a span of the run and, below it, one of each attempt at a step or at undoing one; messages, retries, failures
/// and lines of output are events in them. Needs the feature `tracing`.
///
/// A body runs inside of the span of its attempt, so that spans and events of its own stand below it, whoever drives the
/// run; a workflow that runs inside a step stands below that step. What a body spawns is told by
/// `Instrument::in_current_span` that it belongs there.
///
/// The span of the run has the span for a parent that is current where the run begins. A run that ended and goes on,
/// here or in another process, goes on in a span of its own; `workflow.run.id` is the same, and a span around both holds
/// them together.
///
/// Spans have the level info, and everything the target `step_machine`. Fields that name OpenTelemetry's `otel.name`,
/// `otel.status_code` and `otel.status_description` are understood by `tracing-opentelemetry`.
///
/// # Examples
///
/// ```
/// use step_machine::observe::Tracing;
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow)]
/// enum Deploy {
///     Download,
///     Start,
/// }
///
/// fn download(_: &mut StepContext) -> std::io::Result<()> {
///     let _span = tracing::info_span!("fetch", url = "https://registry/app").entered(); // below `download`
///     Ok(())
/// }
///
/// let run = Deploy::machine().observe(Tracing::new()).begin()?;
/// let run = run.step(deploy::Download, download)?;
/// run.step(deploy::Start, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "shows nothing before a run has it: `.observe(Tracing::new())`"]
pub struct Tracing {
    runs: HashMap<RunId, Run>,
}

/// A run, or one that is nested in it.
#[derive(Debug)]
struct Run {
    plan: Option<SharedPlan>,
    /// None of them between two times that the run goes on.
    span: Span,
    /// Whether it went on to take back what it did.
    is_back: bool,
    /// The attempts that are going on.
    attempts: HashMap<StepRef, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    span: Span,
    /// When it began, from the run's start.
    began: Duration,
}

impl Tracing {
    /// An observer that makes spans and events where the program has a subscriber for them.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an event belongs to: the attempt that is going on, or the run.
    fn parent(&self, event: &Event) -> Option<Id> {
        let run = self.runs.get(&event.run);
        let attempt = run.zip(event.kind.step()).and_then(|(run, step)| run.attempts.get(step));
        let attempt = attempt.and_then(|attempt| attempt.span.id());
        attempt.or_else(|| run?.span.id()).or_else(|| Span::current().id())
    }
}

impl Run {
    fn new(plan: Option<SharedPlan>, span: Span, is_back: bool) -> Self {
        Self { plan, span, is_back, attempts: HashMap::new() }
    }
}

impl Observer for Tracing {
    fn name(&self) -> &'static str {
        "tracing"
    }

    fn run_start(&mut self, event: &Event, start: &RunStart) {
        let span = spans::of_run(event, start);
        self.runs.insert(event.run.clone(), Run::new(Some(start.plan.clone()), span, false));
    }

    fn run_resume(&mut self, event: &Event, resume: &RunResume) {
        let before = self.runs.remove(&event.run).and_then(|run| run.plan);
        let plan = resume.plan.clone().or(before);
        let span = spans::of_resumed_run(event, resume);
        self.runs.insert(event.run.clone(), Run::new(plan, span, resume.rollback));
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) {
        let Some(run) = self.runs.get_mut(&event.run) else { return };
        let span = spans::of_attempt(event, run, start);
        run.attempts.insert(start.step.clone(), Attempt { span, began: event.elapsed });
    }

    fn undo_start(&mut self, event: &Event, start: &UndoStart) {
        let Some(run) = self.runs.get_mut(&event.run) else { return };
        let span = spans::of_undo(event, run, start);
        run.attempts.insert(start.step.clone(), Attempt { span, began: event.elapsed });
    }

    fn scope(&mut self, start: &Event) -> Option<Box<dyn Scope>> {
        let attempt = self.runs.get(&start.run)?.attempts.get(start.kind.step()?)?;
        if attempt.span.is_disabled() {
            return None;
        }
        Some(Box::new(Inside(attempt.span.clone())))
    }

    fn step_update(&mut self, event: &Event, update: &StepUpdate) {
        news::updated(self, event, update);
    }

    fn stdout(&mut self, event: &Event, line: &OutputLine) {
        news::printed(self, event, "stdout", line);
    }

    fn stderr(&mut self, event: &Event, line: &OutputLine) {
        news::printed(self, event, "stderr", line);
    }

    fn task_start(&mut self, event: &Event, start: &TaskStart) {
        news::task_started(self, event, start);
    }

    fn task_update(&mut self, event: &Event, update: &TaskUpdate) {
        news::task_updated(self, event, update);
    }

    fn task_end(&mut self, event: &Event, end: &TaskEnd) {
        news::task_ended(self, event, end);
    }

    fn stalled(&mut self, event: &Event, stalled: &Stalled) {
        news::stalled(self, event, stalled);
    }

    fn step_retry(&mut self, event: &Event, retry: &StepRetry) {
        news::retried(self, event, retry);
        self.close(event, &retry.step, |span| spans::failed(span, "failed", Some(&retry.error)));
    }

    fn step_end(&mut self, event: &Event, end: &StepEnd) {
        news::step_ended(self, event, end);
        self.close(event, &end.step, |span| spans::ended(span, end));
    }

    fn undo_end(&mut self, event: &Event, end: &UndoEnd) {
        news::undo_ended(self, event, end);
        self.close(event, &end.step, |span| spans::undone(span, end));
    }

    fn run_end(&mut self, event: &Event, end: &RunEnd) {
        let has_failed = match end.status {
            // One that was asked to stop did what it was asked.
            RunStatus::Completed | RunStatus::Cancelled => false,
            RunStatus::RolledBack => self.runs.get(&event.run).is_none_or(|run| !run.is_back),
            _ => true,
        };
        news::run_ended(self, event, end, has_failed);
        if let Some(run) = self.runs.get_mut(&event.run) {
            run.attempts.clear();
            spans::run_ended(&std::mem::replace(&mut run.span, Span::none()), end, has_failed);
        }
    }
}

impl Tracing {
    /// Ends the span of an attempt.
    fn close(&mut self, event: &Event, step: &StepRef, set: impl FnOnce(&Span)) {
        let attempt = self.runs.get_mut(&event.run).and_then(|run| run.attempts.remove(step));
        if let Some(Attempt { span, began }) = attempt {
            spans::lasted(&span, event.elapsed.saturating_sub(began));
            set(&span);
        }
    }
}
