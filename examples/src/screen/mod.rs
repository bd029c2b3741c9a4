//! A run as plain text: one line for each step, and on a terminal one more for the step that is running.

mod before;
mod live;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use live::{Page, Status};
use step_machine::event::{
    ErrorRecord, Event, Level, OutputLine, Parent, Reason, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRef,
    StepRetry, StepStart, StepStatus, StepUpdate, UndoEnd, UndoStart, UndoStatus,
};
use step_machine::{Observer, Plan, RunId};

use crate::cli::History;

/// Writes one line for each step when it ends; those of a nested workflow are indented below that of their step. Needs
/// no terminal; on one, a last line says what is going on.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
pub struct Screen<W> {
    page: Page<W>,
    /// The run, and those that are nested in it.
    runs: Vec<Told>,
    /// What was done before this process went on with it.
    before: History,
    begun: Instant,
    verbose: bool,
}

/// A run that is told.
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
        let (runs, before) = (Vec::new(), History::new());
        Self { page: Page::new(writer), runs, before, begun: Instant::now(), verbose: false }
    }

    /// What was done before, where a run goes on.
    #[must_use]
    pub fn after(self, before: History) -> Self {
        Self { before, ..self }
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

    fn told(&self, run: &RunId) -> Option<&Told> {
        self.runs.iter().find(|told| told.run == *run)
    }

    fn tell(&mut self, run: &RunId, news: String) {
        self.runs.iter_mut().filter(|told| told.run == *run).for_each(|told| told.news.push(news.clone()));
    }

    /// What the step of a run has told, on one line.
    fn take_news(&mut self, run: &RunId) -> String {
        let mut told = self.runs.iter_mut().filter(|told| told.run == *run);
        told.next().map(|told| std::mem::take(&mut told.news).join(", ")).unwrap_or_default()
    }

    /// How deep a run is that is nested in a step, whose line comes before those of the run.
    fn enter(&self, parent: &Parent) -> usize {
        self.page.change(|status| *status = None);
        if let Some(head) = self.head('▸', &parent.run, parent.step.id()) {
            self.line(&head);
        }
        self.told(&parent.run).map_or(0, |told| told.depth + 1)
    }

    /// `✓ 3/9  OpenTofu validate  `
    fn head(&self, mark: char, run: &RunId, step: &str) -> Option<String> {
        let Told { plan, depth, .. } = self.told(run)?;
        let index = plan.position(step)?;
        let width = plan.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let (indent, total, name) = (" ".repeat(4 * depth), plan.steps.len(), &plan.steps[index].name);
        Some(format!("{indent}{mark} {}/{total}  {name:<width$}", index + 1))
    }

    /// `✓ 3/9  OpenTofu validate          0.004 s  ` and what else there is to say.
    fn step(&self, mark: char, run: &RunId, step: &StepRef, duration: Duration, more: &str) {
        self.page.change(|status| *status = None);
        if let Some(head) = self.head(mark, run, step.id()) {
            self.line(&format!("{head}  {}  {more}", seconds(duration)));
        }
    }

    /// The step that the live line tells of from here on.
    fn begins(&self, mark: char, event: &Event, step: &StepRef) {
        let Some(head) = self.head(mark, &event.run, step.id()) else { return };
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
        let is_whole = self.told(&event.run).is_some_and(|told| told.depth == 0);
        self.page.change(|status| {
            let Some(status) = status else { return };
            // How far a nested run is shows in the one that it is in.
            if let Some(progress) = event.progress.as_ref().filter(|_| is_whole) {
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
        let (run, plan) = (event.run.clone(), Plan::clone(&start.plan));
        let depth = start.parent.as_ref().map_or(0, |parent| self.enter(parent));
        if depth == 0 {
            self.begun = Instant::now();
            self.line(&format!("{}: {} steps, run {run}", event.workflow, plan.steps.len()));
        }
        self.runs.push(Told { run, plan, depth, news: Vec::new() });
    }

    fn run_resume(&mut self, event: &Event, resume: &RunResume) {
        self.goes_on(event, resume);
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) {
        self.begins('>', event, &start.step);
    }

    fn undo_start(&mut self, event: &Event, start: &UndoStart) {
        self.begins('↶', event, &start.step);
    }

    fn step_retry(&mut self, event: &Event, retry: &StepRetry) {
        let step = self.told(&event.run).and_then(|told| told.plan.step(retry.step.id()));
        let attempts = step.and_then(|step| step.retry).map_or(0, |retry| retry.attempts);
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

    fn stalled(&mut self, event: &Event, stalled: &Stalled) {
        let (step, silent) = (stalled.step.id(), seconds(stalled.silent));
        self.tell(&event.run, format!("warning: nothing was heard for {}", silent.trim()));
        self.line(&format!("warning: nothing was heard of `{step}` for {}", silent.trim()));
    }

    fn run_end(&mut self, _: &Event, _: &RunEnd) {
        self.page.change(|status| *status = None);
    }

    fn step_update(&mut self, event: &Event, update: &StepUpdate) {
        self.news(event, update.message.as_deref());
        match (&update.message, update.level) {
            (Some(message), Some(Level::Warning)) => self.tell(&event.run, format!("warning: {message}")),
            (Some(message), _) => self.tell(&event.run, message.to_string()),
            (None, _) => {}
        }
    }

    fn step_end(&mut self, event: &Event, end: &StepEnd) {
        if end.attempt > 1 {
            self.tell(&event.run, format!("{} attempts", end.attempt));
        }
        let told = self.take_news(&event.run);
        let (mark, more) = match (end.status, end.reason, &end.error) {
            (StepStatus::Completed, ..) => ('✓', told),
            (StepStatus::Skipped, Some(Reason::Failed), Some(error)) => {
                ('!', format!("warning ({}): {}", error.kind, chain(&error.message, &error.chain)))
            }
            (StepStatus::Skipped, ..) => ('-', format!("skipped: {}", end.message.as_deref().unwrap_or_default())),
            (StepStatus::Failed, _, Some(error)) => ('✗', failed(error)),
            (status, ..) => ('✗', status.to_string()),
        };
        self.step(mark, &event.run, &end.step, end.duration, &more);
    }

    fn undo_end(&mut self, event: &Event, end: &UndoEnd) {
        let told = self.take_news(&event.run);
        let (mark, more) = match (end.status, &end.error) {
            (UndoStatus::Undone, _) if told.is_empty() => ('↶', "undone".to_owned()),
            (UndoStatus::Undone, _) => ('↶', format!("undone: {told}")),
            (_, Some(error)) => ('✗', format!("not undone: {}", chain(&error.message, &error.chain))),
            (status, None) => ('-', status.to_string()),
        };
        self.step(mark, &event.run, &end.step, end.duration, &more);
    }
}

impl Screen<io::Stdout> {
    /// Writes to the standard output.
    pub fn stdout() -> Self {
        let screen = Self::new(io::stdout());
        if io::stdout().is_terminal() { Self { page: screen.page.live(columns), ..screen } } else { screen }
    }
}

/// How many columns the terminal has.
#[cfg(unix)]
fn columns() -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

#[cfg(not(unix))]
fn columns() -> Option<usize> {
    None
}

/// Why a step failed. What failed inside of it has been told by the lines before.
fn failed(error: &ErrorRecord) -> String {
    if let Some(nested) = &error.nested {
        return format!("failed at its step {}/{}", nested.step_number, nested.total_steps);
    }
    // What a command wrote may follow on more lines; the first one stands for itself.
    let message = error.message.lines().next().unwrap_or_default().trim_end_matches(':');
    format!("failed ({}): {message}", error.kind)
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
