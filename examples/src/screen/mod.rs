//! A run as plain text: one line for each step, and on a terminal one more for the step that is running.

mod live;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use live::{Page, Status};
use step_machine::event::{
    Event, Level, OutputLine, Reason, RunEnd, RunStart, StepEnd, StepRef, StepRetry, StepStart, StepStatus, StepUpdate,
    UndoEnd, UndoStart, UndoStatus,
};
use step_machine::{Observer, Plan};

/// Writes one line for each step when it ends. Needs no terminal; on one, a last line says what is going on.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
pub struct Screen<W> {
    page: Page<W>,
    plan: Plan,
    begun: Instant,
    told: Vec<String>,
    verbose: bool,
}

impl<W: Write + Send> Screen<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            page: Page::new(writer),
            plan: Plan::new("", []),
            begun: Instant::now(),
            told: Vec::new(),
            verbose: false,
        }
    }

    /// Whether every line is shown that a command writes.
    #[must_use]
    pub fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    fn line(&self, line: &str) {
        // Trailing blanks come from the columns of a line that ends early.
        self.page.line(line.trim_end());
    }

    /// `✓ 3/9  OpenTofu validate  `
    fn head(&self, mark: char, step: &StepRef) -> Option<String> {
        let index = self.plan.position(step.id())?;
        let width = self.plan.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let (total, name) = (self.plan.steps.len(), &self.plan.steps[index].name);
        Some(format!("{mark} {}/{total}  {name:<width$}", index + 1))
    }

    /// `✓ 3/9  OpenTofu validate          0.004 s  ` and what else there is to say.
    fn step(&self, mark: char, step: &StepRef, duration: Duration, more: &str) {
        self.page.change(|status| *status = None);
        if let Some(head) = self.head(mark, step) {
            self.line(&format!("{head}  {}  {more}", seconds(duration)));
        }
    }

    /// The step that the live line tells of from here on.
    fn begins(&self, mark: char, event: &Event, step: &StepRef) {
        let Some(head) = self.head(mark, step) else { return };
        let (since, run_since) = (Instant::now(), self.begun);
        self.page.change(|status| {
            let fresh = Status { head, since, run_since, percentage: 0.0, eta: None, wait: None, news: String::new() };
            let before = status.take().filter(|before| before.head == fresh.head);
            // Another attempt at the same step: its time goes on.
            *status = Some(Status { since: before.map_or(since, |before| before.since), ..fresh });
        });
        self.news(event, None);
    }

    /// How far the run is, and what is heard from the step.
    fn news(&self, event: &Event, news: Option<&str>) {
        self.page.change(|status| {
            let Some(status) = status else { return };
            if let Some(progress) = &event.progress {
                status.percentage = progress.percentage;
                status.eta = progress.eta.map(|eta| (Instant::now(), eta));
            }
            if let Some(news) = news {
                news.clone_into(&mut status.news);
            }
        });
    }

    fn output(&self, event: &Event, line: &OutputLine) {
        let line = line.line.replace(char::is_control, " ");
        if self.verbose {
            self.line(&format!("       | {line}"));
        } else {
            self.news(event, Some(&line));
        }
    }
}

impl<W: Write + Send> Observer for Screen<W> {
    fn run_start(&mut self, event: &Event, start: &RunStart) {
        self.plan = Plan::clone(&start.plan);
        self.begun = Instant::now();
        self.line(&format!("{}: {} steps, run {}", event.workflow, self.plan.steps.len(), event.run));
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) {
        self.begins('>', event, &start.step);
    }

    fn undo_start(&mut self, event: &Event, start: &UndoStart) {
        self.begins('↶', event, &start.step);
    }

    fn step_retry(&mut self, event: &Event, retry: &StepRetry) {
        let attempts = self.plan.step(retry.step.id()).and_then(|step| step.retry).map_or(0, |retry| retry.attempts);
        let error = chain(&retry.error.message, &retry.error.chain);
        let what = format!("attempt {} of {attempts}: {error}", retry.attempt + 1);
        self.news(event, None);
        self.page.change(|status| {
            if let Some(status) = status {
                status.wait = Some((Instant::now() + retry.delay, what));
            }
        });
    }

    fn stdout(&mut self, event: &Event, line: &OutputLine) {
        self.output(event, line);
    }

    fn stderr(&mut self, event: &Event, line: &OutputLine) {
        self.output(event, line);
    }

    fn run_end(&mut self, _: &Event, _: &RunEnd) {
        self.page.change(|status| *status = None);
    }

    fn step_update(&mut self, event: &Event, update: &StepUpdate) {
        self.news(event, update.message.as_deref());
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
            (StepStatus::Failed, _, Some(error)) => {
                // What a command wrote may follow on more lines; the first one stands for itself.
                let message = error.message.lines().next().unwrap_or_default().trim_end_matches(':');
                ('✗', format!("failed ({}): {message}", error.kind))
            }
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
        let screen = Self::new(io::stdout());
        if io::stdout().is_terminal() { Self { page: screen.page.live(), ..screen } } else { screen }
    }
}

/// An error with everything behind it on one line.
fn chain(message: &str, chain: &[String]) -> String {
    let texts = std::iter::once(message).chain(chain.iter().map(String::as_str));
    texts.flat_map(str::lines).map(|line| line.trim_end_matches(':')).collect::<Vec<_>>().join(": ")
}

/// `  0.012 s`
pub fn seconds(span: Duration) -> String {
    format!("{:>7.3} s", span.as_secs_f64())
}
