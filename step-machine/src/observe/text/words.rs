//! How events are put into words.

use std::time::Duration;

use super::clean::one_line;
use super::line::seconds;
use crate::event::{
    ErrorRecord, Level, Reason, RunEnd, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, TaskEnd, TaskStatus,
    UndoEnd, UndoStatus,
};
use crate::state::{StepState, Undo};

/// Mark, level, and what else there is to say.
pub(super) type Said = (char, Level, String);

/// How a step ended that told `news` while it ran.
pub(super) fn ended(end: &StepEnd, news: String) -> Said {
    match (end.status, end.reason, &end.error) {
        (StepStatus::Completed, Some(Reason::Forked), _) => ('✓', Level::Success, "taken over".to_owned()),
        (StepStatus::Completed, ..) => ('✓', Level::Success, news),
        (StepStatus::Skipped, Some(Reason::Failed), Some(error)) => {
            ('!', Level::Warning, format!("warning ({}): {}", one_line(&error.kind), chain(error)))
        }
        (StepStatus::Skipped, ..) => ('-', Level::Info, because("skipped", end.message.as_deref())),
        (StepStatus::Failed, _, Some(error)) => ('✗', Level::Error, failed(error)),
        (StepStatus::Cancelled, ..) => ('✗', Level::Warning, StepStatus::Cancelled.to_string()),
        (status, ..) => ('✗', Level::Error, status.to_string()),
    }
}

/// How taking back a step ended that told `news` meanwhile.
pub(super) fn undone(end: &UndoEnd, news: &str) -> Said {
    match (end.status, &end.error) {
        (UndoStatus::Undone, _) if news.is_empty() => ('↶', Level::Info, "undone".to_owned()),
        (UndoStatus::Undone, _) => ('↶', Level::Info, format!("undone: {news}")),
        (UndoStatus::UndoFailed, Some(error)) => ('✗', Level::Error, format!("not undone: {}", chain(error))),
        (UndoStatus::UndoFailed, None) => ('✗', Level::Error, "not undone".to_owned()),
        (UndoStatus::Skipped, _) => ('-', Level::Warning, because("not undone, skipped", end.message.as_deref())),
    }
}

/// How a line tells of a step that was settled before; `None` for one that was not.
pub(super) fn before(step: &StepState) -> Option<Said> {
    if let Undo::Ended(UndoStatus::Undone) = step.undo() {
        return Some(('↶', Level::Info, "undone before".to_owned()));
    }
    match (step.status(), step.error()) {
        (StepStatus::Completed, _) => Some(('✓', Level::Success, "done before".to_owned())),
        (StepStatus::Skipped, Some(error)) => {
            let said = format!("warning before ({}): {}", one_line(&error.kind), one_line(&error.message));
            Some(('!', Level::Warning, said))
        }
        (StepStatus::Skipped, None) => Some(('-', Level::Info, because("skipped before", step.skipped_because()))),
        _ => None,
    }
}

pub(super) fn begins(start: &StepStart) -> String {
    let again = if start.attempt > 1 { format!("attempt {}", start.attempt) } else { String::new() };
    match (start.interrupted, again.is_empty()) {
        (true, _) => format!("{again}, an earlier one was interrupted").trim_start_matches(", ").to_owned(),
        (false, _) => again,
    }
}

/// `attempt 2 of 3 in 1.5 s: refused`
pub(super) fn retry(retry: &StepRetry, of: Option<u32>) -> String {
    let (next, delay) = (next(retry, of), retry.delay.as_secs_f64());
    format!("{next} in {delay:.1} s: {}", chain(&retry.error))
}

/// The same without the time, which goes down while it is waited for.
pub(super) fn awaited(retry: &StepRetry, of: Option<u32>) -> String {
    format!("{}: {}", next(retry, of), chain(&retry.error))
}

fn next(retry: &StepRetry, of: Option<u32>) -> String {
    let next = retry.attempt + 1;
    // More than there can be are not all known: the first was not seen.
    let of = of.filter(|of| next <= *of).map(|of| format!(" of {of}")).unwrap_or_default();
    format!("attempt {next}{of}")
}

pub(super) fn task_ended(end: &TaskEnd) -> Said {
    let said = end.message.as_deref().map(|message| one_line(message).into_owned()).unwrap_or_default();
    match end.status {
        TaskStatus::Failed if said.is_empty() => ('✗', Level::Warning, "failed".to_owned()),
        TaskStatus::Failed => ('✗', Level::Warning, format!("failed: {said}")),
        TaskStatus::Completed | TaskStatus::Running => ('✓', Level::Debug, said),
    }
}

/// How a run ended that took so long.
pub(super) fn run_ended(end: &RunEnd, took: Duration) -> (Level, String) {
    let took = span(took);
    let at = end.failure.as_ref().filter(|failure| failure.step.is_some());
    let at = at.map(|failure| format!(" at step {}/{}", failure.step_number, failure.total_steps)).unwrap_or_default();
    let is_cancelled = end.failure.as_ref().is_some_and(|failure| failure.error.kind == "cancelled");
    let what = if is_cancelled { "cancelled" } else { "failed" };
    match (end.status, end.reason, end.warnings) {
        (RunStatus::Completed, _, 0) => (Level::Success, format!("completed in {took}")),
        (RunStatus::Completed, _, 1) => (Level::Warning, format!("completed with 1 warning in {took}")),
        (RunStatus::Completed, _, warnings) => {
            (Level::Warning, format!("completed with {warnings} warnings in {took}"))
        }
        (RunStatus::Cancelled, Some(Reason::Requested), _) => {
            (Level::Info, format!("ended after {took}: it was to go no further"))
        }
        (RunStatus::Cancelled, ..) => (Level::Warning, format!("cancelled{at} after {took}")),
        (RunStatus::RolledBack, ..) if is_cancelled => {
            (Level::Warning, format!("cancelled{at} and rolled back after {took}"))
        }
        (RunStatus::RolledBack, ..) => (Level::Error, format!("failed{at} and rolled back after {took}")),
        (RunStatus::Stuck, ..) => (Level::Error, format!("{what}{at} and stuck after {took}: not all was undone")),
        _ => (Level::Error, format!("failed{at} after {took}")),
    }
}

/// Why a step failed. What failed inside of it has been told by the lines before.
fn failed(error: &ErrorRecord) -> String {
    if let Some(nested) = &error.nested {
        return format!("failed at its step {}/{}", nested.step_number, nested.total_steps);
    }
    // What a command wrote may follow on more lines; the first one stands for itself.
    let message = error.message.lines().next().unwrap_or_default().trim_end_matches(':');
    format!("failed ({}): {}", one_line(&error.kind), one_line(message))
}

/// An error with everything behind it on one line.
pub(super) fn chain(error: &ErrorRecord) -> String {
    let texts = std::iter::once(&error.message).chain(&error.chain);
    let lines = texts.flat_map(|text| text.lines()).map(|line| line.trim_end_matches(':'));
    one_line(&lines.collect::<Vec<_>>().join(": ")).into_owned()
}

fn because(what: &str, why: Option<&str>) -> String {
    match why.map(one_line) {
        Some(why) if !why.is_empty() => format!("{what}: {why}"),
        _ => what.to_owned(),
    }
}

/// `0.012 s`
pub(super) fn span(span: Duration) -> String {
    seconds(span).trim_start().to_owned()
}
