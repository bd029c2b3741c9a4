//! A run as plain text: one line for each step.

use std::io::{self, Write};
use std::time::Duration;

use step_machine::event::{
    Event, Level, Reason, RunStart, StepEnd, StepRef, StepStatus, StepUpdate, UndoEnd, UndoStatus,
};
use step_machine::{Observer, Plan};

/// Writes one line for each step when it ends. Needs no terminal.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
pub struct Screen<W> {
    writer: W,
    plan: Plan,
    told: Vec<String>,
    broken: bool,
}

impl<W: Write + Send> Screen<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer, plan: Plan::new("", []), told: Vec::new(), broken: false }
    }

    fn line(&mut self, line: &str) {
        // Trailing blanks come from the columns of a line that ends early.
        self.broken |= writeln!(self.writer, "{}", line.trim_end()).and_then(|()| self.writer.flush()).is_err();
    }

    /// `✓ 3/9  OpenTofu validate          0.004 s  ` and what else there is to say.
    fn step(&mut self, mark: char, step: &StepRef, duration: Duration, more: &str) {
        if self.broken {
            return;
        }
        let Some(index) = self.plan.position(step.id()) else { return };
        let width = self.plan.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let (total, name) = (self.plan.steps.len(), &self.plan.steps[index].name);
        self.line(&format!("{mark} {}/{total}  {name:<width$}  {}  {more}", index + 1, seconds(duration)));
    }
}

impl<W: Write + Send> Observer for Screen<W> {
    fn run_start(&mut self, event: &Event, start: &RunStart) {
        self.plan = Plan::clone(&start.plan);
        self.line(&format!("{}: {} steps, run {}", event.workflow, self.plan.steps.len(), event.run));
    }

    fn step_update(&mut self, _: &Event, update: &StepUpdate) {
        match (&update.message, update.level) {
            (Some(message), Some(Level::Warning)) => self.told.push(format!("warning: {message}")),
            (Some(message), _) => self.told.push(message.to_string()),
            (None, _) => {}
        }
    }

    fn step_end(&mut self, _: &Event, end: &StepEnd) {
        if end.attempt > 1 {
            self.told.push(format!("{} attempts", end.attempt));
        }
        let told = std::mem::take(&mut self.told).join(", ");
        let (mark, more) = match (end.status, end.reason, &end.error) {
            (StepStatus::Completed, ..) => ('✓', told),
            (StepStatus::Skipped, Some(Reason::Failed), Some(error)) => {
                ('!', format!("warning ({}): {}", error.kind, chain(&error.message, &error.chain)))
            }
            (StepStatus::Skipped, ..) => ('-', format!("skipped: {}", end.message.as_deref().unwrap_or_default())),
            (StepStatus::Failed, _, Some(error)) => ('✗', format!("failed ({}): {}", error.kind, error.message)),
            (status, ..) => ('✗', status.to_string()),
        };
        self.step(mark, &end.step, end.duration, &more);
    }

    fn undo_end(&mut self, _: &Event, end: &UndoEnd) {
        let told = std::mem::take(&mut self.told).join(", ");
        let (mark, more) = match (end.status, &end.error) {
            (UndoStatus::Undone, _) if told.is_empty() => ('↶', "undone".to_owned()),
            (UndoStatus::Undone, _) => ('↶', format!("undone: {told}")),
            (_, Some(error)) => ('✗', format!("not undone: {}", chain(&error.message, &error.chain))),
            (status, None) => ('-', status.to_string()),
        };
        self.step(mark, &end.step, end.duration, &more);
    }
}

impl Screen<io::Stdout> {
    /// Writes to the standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout())
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
