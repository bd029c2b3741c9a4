//! A run as plain text: one line for each step.

use std::io::{self, Write};
use std::time::Duration;

use step_machine::event::{
    ErrorRecord, Event, Level, Parent, Reason, RunStart, StepEnd, StepRef, StepStatus, StepUpdate, UndoEnd, UndoStatus,
};
use step_machine::{Observer, Plan, RunId};

/// Writes one line for each step when it ends; those of a nested workflow are indented below that of their step. Needs
/// no terminal.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
pub struct Screen<W> {
    writer: W,
    runs: Vec<Told>,
    broken: bool,
}

/// A run that is told: the first one, or one that is nested in another one.
struct Told {
    run: RunId,
    plan: Plan,
    /// How many runs it is nested in.
    depth: usize,
    /// What its step has told since the last line.
    news: Vec<String>,
}

impl<W: Write + Send> Screen<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer, runs: Vec::new(), broken: false }
    }

    fn line(&mut self, depth: usize, line: &str) {
        let indent = " ".repeat(4 * depth);
        // Trailing blanks come from the columns of a line that ends early.
        let line = format!("{indent}{line}");
        self.broken |= writeln!(self.writer, "{}", line.trim_end()).and_then(|()| self.writer.flush()).is_err();
    }

    fn run(&mut self, run: &RunId) -> Option<&mut Told> {
        self.runs.iter_mut().find(|told| told.run == *run)
    }

    /// `▸ 3/3  Run container`, before the steps of the workflow that runs inside of that step.
    fn enter(&mut self, parent: &Parent) -> usize {
        let Some(told) = self.run(&parent.run) else { return 0 };
        let (depth, total) = (told.depth, told.plan.steps.len());
        let Some(index) = told.plan.position(parent.step.id()) else { return depth + 1 };
        let line = format!("▸ {}/{total}  {}", index + 1, told.plan.steps[index].name);
        self.line(depth, &line);
        depth + 1
    }

    /// `✓ 3/9  OpenTofu validate          0.004 s  ` and what else there is to say.
    fn step(&mut self, run: &RunId, mark: char, step: &StepRef, duration: Duration, more: &str) {
        let Some(Told { plan, depth, .. }) = self.run(run) else { return };
        let Some(index) = plan.position(step.id()) else { return };
        let width = plan.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let (total, name, depth) = (plan.steps.len(), &plan.steps[index].name, *depth);
        let line = format!("{mark} {}/{total}  {name:<width$}  {}  {more}", index + 1, seconds(duration));
        if !self.broken {
            self.line(depth, &line);
        }
    }

    /// What the step of `run` has told, on one line.
    fn take_told(&mut self, run: &RunId) -> String {
        self.run(run).map(|told| std::mem::take(&mut told.news).join(", ")).unwrap_or_default()
    }
}

impl<W: Write + Send> Observer for Screen<W> {
    fn run_start(&mut self, event: &Event, start: &RunStart) {
        let (run, plan) = (event.run.clone(), Plan::clone(&start.plan));
        let depth = match &start.parent {
            Some(parent) => self.enter(parent),
            None => {
                self.line(0, &format!("{}: {} steps, run {run}", event.workflow, plan.steps.len()));
                0
            }
        };
        self.runs.push(Told { run, plan, depth, news: Vec::new() });
    }

    fn step_update(&mut self, event: &Event, update: &StepUpdate) {
        let (Some(message), Some(run)) = (&update.message, self.run(&event.run)) else { return };
        run.news.push(match update.level {
            Some(Level::Warning) => format!("warning: {message}"),
            _ => message.to_string(),
        });
    }

    fn step_end(&mut self, event: &Event, end: &StepEnd) {
        if end.attempt > 1
            && let Some(run) = self.run(&event.run)
        {
            run.news.push(format!("{} attempts", end.attempt));
        }
        let told = self.take_told(&event.run);
        let (mark, more) = match (end.status, end.reason, &end.error) {
            (StepStatus::Completed, ..) => ('✓', told),
            (StepStatus::Skipped, Some(Reason::Failed), Some(error)) => {
                ('!', format!("warning ({}): {}", error.kind, chain(&error.message, &error.chain)))
            }
            (StepStatus::Skipped, ..) => ('-', format!("skipped: {}", end.message.as_deref().unwrap_or_default())),
            (StepStatus::Failed, _, Some(error)) => ('✗', failed(error)),
            (status, ..) => ('✗', status.to_string()),
        };
        self.step(&event.run, mark, &end.step, end.duration, &more);
    }

    fn undo_end(&mut self, event: &Event, end: &UndoEnd) {
        let told = self.take_told(&event.run);
        let (mark, more) = match (end.status, &end.error) {
            (UndoStatus::Undone, _) if told.is_empty() => ('↶', "undone".to_owned()),
            (UndoStatus::Undone, _) => ('↶', format!("undone: {told}")),
            (_, Some(error)) => ('✗', format!("not undone: {}", chain(&error.message, &error.chain))),
            (status, None) => ('-', status.to_string()),
        };
        self.step(&event.run, mark, &end.step, end.duration, &more);
    }
}

impl Screen<io::Stdout> {
    /// Writes to the standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

/// Why a step failed. What failed inside of it has been told by the lines before.
fn failed(error: &ErrorRecord) -> String {
    match &error.nested {
        Some(nested) => format!("failed at its step {}/{}", nested.step_number, nested.total_steps),
        None => format!("failed ({}): {}", error.kind, error.message),
    }
}

/// An error with everything behind it on one line.
fn chain(message: &str, chain: &[String]) -> String {
    let texts = std::iter::once(message).chain(chain.iter().map(String::as_str));
    texts.flat_map(str::lines).collect::<Vec<_>>().join(": ")
}

/// `  0.012 s`
pub fn seconds(span: Duration) -> String {
    format!("{:>7.3} s", span.as_secs_f64())
}
