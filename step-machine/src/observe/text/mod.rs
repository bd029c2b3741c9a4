//! Events as lines of text for people: what the plain log writes, and whoever else shows text.

mod clean;
mod line;
mod news;
mod told;
mod words;

use std::collections::HashMap;
use std::time::Duration;

pub use clean::one_line;
pub use line::TextLine;
pub(in crate::observe) use line::matters;
#[cfg(feature = "progress")]
pub(in crate::observe) use line::{Head, paint, seconds};
#[cfg(feature = "progress")]
pub(in crate::observe) use told::{Doing, Task, Told, Undone};
#[cfg(not(feature = "progress"))]
use told::{Told, Undone};

use crate::event::{
    Event, Kind, Level, OutputLine, Parent, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRef, StepRetry,
    StepStart, StepUpdate, TaskEnd, TaskStart, TaskUpdate, UndoEnd, UndoStart,
};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::SharedPlan;

/// Turns events into lines for people: a fold over a run, and over those that are nested in it.
///
/// Most events are one line or none. A line has its [`Level`] and how deep its run is nested; whatever comes from
/// outside, the lines of commands for one, has lost its escape codes and control characters. What a step tells while it
/// runs stands on the line that it ends with, unless messages are wanted [`at_once`](Self::at_once); warnings and errors
/// are told at once in any case.
///
/// # Examples
///
/// ```
/// use step_machine::observe::PlainText;
/// use step_machine::{Workflow, observe};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let (observer, events) = observe::channel();
/// let run = Greet::machine().id("web-42").observe(observer).begin()?;
/// run.step(greet::Hello, |cx| {
///     cx.message("to everybody");
///     Ok::<(), std::io::Error>(())
/// })?.finish()?;
///
/// let mut text = PlainText::new();
/// let lines: Vec<_> = events.iter().flat_map(|event| text.lines(&event)).map(|line| line.to_string()).collect();
/// assert_eq!(lines[0], "greet: 1 step, run web-42");
/// assert!(lines[1].starts_with("✓ 1/1  Hello    0.0") && lines[1].ends_with(" s  to everybody"));
/// assert!(lines[2].starts_with("completed in 0.0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PlainText {
    /// The run, and those that are nested in it.
    pub(super) runs: Vec<Told>,
    /// What was done before this process went on with it.
    before: HashMap<RunId, RunState>,
    level: Level,
    at_once: bool,
    /// How much the lines of commands matter.
    output: Level,
    /// When the last event came, in time since the Unix epoch.
    pub(super) now: Duration,
}

impl Default for PlainText {
    fn default() -> Self {
        Self::new()
    }
}

impl PlainText {
    /// Lines from [`Level::Info`] on.
    pub fn new() -> Self {
        let (runs, before) = (Vec::new(), HashMap::new());
        Self { runs, before, level: Level::Info, at_once: false, output: Level::Debug, now: Duration::ZERO }
    }

    /// Makes only lines that matter so much or more. A success matters as much as an info; the begin of a step, tasks and
    /// the lines of commands are debug.
    #[must_use]
    pub fn level(self, least: Level) -> Self {
        Self { level: least, ..self }
    }

    /// Makes a line of every message when it comes, and not of all together when the step ends.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    /// Makes lines of what commands write too, at [`Level::Info`].
    #[must_use]
    pub fn with_output(self) -> Self {
        Self { output: Level::Info, ..self }
    }

    #[cfg(feature = "progress")]
    pub(super) fn without_output(self) -> Self {
        Self { output: Level::Debug, ..self }
    }

    /// Tells what was done before too, where a run goes on: these are the run and those nested in it, as their journal had
    /// them.
    #[must_use]
    pub fn after(mut self, before: impl IntoIterator<Item = RunState>) -> Self {
        self.before.extend(before.into_iter().map(|state| (state.run().clone(), state)));
        self
    }

    /// What is to be said of an event. The events of a run come in their order; those of nested runs may come between.
    pub fn lines(&mut self, event: &Event) -> Vec<TextLine> {
        self.now = event.at.duration_since(std::time::UNIX_EPOCH).unwrap_or(self.now);
        let mut lines = match &event.kind {
            Kind::RunStart(start) => self.run_start(event, start),
            Kind::RunResume(resume) => self.run_resume(event, resume),
            Kind::RunEnd(end) => self.run_end(event, end),
            _ => self.of_step(event).into_iter().collect(),
        };
        lines.retain(|line| line.is_at_least(self.level));
        lines
    }

    /// What is going on `silence` after the last event: one line for each step that runs.
    pub fn still_running(&self, silence: Duration) -> Vec<TextLine> {
        let now = self.now + silence;
        let is_inside = |run: &RunId, step: &str| {
            self.runs.iter().any(|told| told.parent.as_ref().is_some_and(|of| of.run == *run && of.step.id() == step))
        };
        let running = self.runs.iter().flat_map(|told| told.doing.iter().map(move |doing| (told, doing)));
        // A step with a run inside is told of by the steps of that one.
        let running = running.filter(|(told, doing)| !is_inside(&told.run, doing.step.id()));
        running.map(|(told, doing)| told.still(doing, now)).filter(|line| line.is_at_least(self.level)).collect()
    }

    fn wants(&self, level: Level) -> bool {
        matters(level) >= matters(self.level)
    }

    /// At most one line, of an event that belongs to a step.
    fn of_step(&mut self, event: &Event) -> Option<TextLine> {
        match &event.kind {
            Kind::StepStart(start) => self.step_start(event, start),
            Kind::StepUpdate(update) => self.step_update(event, update),
            Kind::StepRetry(retry) => self.step_retry(event, retry),
            Kind::StepEnd(end) => Some(self.step_end(event, end)),
            Kind::Stdout(line) | Kind::Stderr(line) => self.output(event, line),
            Kind::TaskStart(start) => self.task_start(event, start),
            Kind::TaskUpdate(update) => self.task_update(event, update),
            Kind::TaskEnd(end) => self.task_end(event, end),
            Kind::Stalled(stalled) => Some(self.stalled(event, stalled)),
            Kind::UndoStart(start) => self.undo_start(event, start),
            Kind::UndoEnd(end) => Some(self.undo_end(event, end)),
            Kind::RunStart(_) | Kind::RunResume(_) | Kind::RunEnd(_) | Kind::Unknown(_) => None,
        }
    }

    /// The run of an event; one whose beginning was not seen has no plan.
    fn told(&mut self, event: &Event) -> &mut Told {
        let at = self.runs.iter().position(|told| told.run == event.run).unwrap_or_else(|| {
            let plan = crate::workflow::Plan::new(event.workflow.clone(), []).into();
            self.enter(event, plan, None);
            self.runs.len() - 1
        });
        &mut self.runs[at]
    }

    /// Takes up a run; the line of the step that it is in, which comes before its own.
    fn enter(&mut self, event: &Event, plan: SharedPlan, parent: Option<Parent>) -> Option<TextLine> {
        let parent = parent.or_else(|| self.parent_by_id(&event.run));
        let outer = parent.as_ref().and_then(|parent| self.runs.iter().find(|told| told.run == parent.run));
        let depth = outer.map_or(0, |outer| outer.depth + 1);
        let line = outer
            .zip(parent.as_ref())
            .map(|(outer, parent)| outer.line(Level::Info, '▸', &parent.step, None, String::new()));
        self.runs.retain(|told| told.run != event.run);
        self.runs.push(Told::new(event.run.clone(), plan, parent, depth));
        line
    }

    /// The step that a run goes on in: its id begins with that of the run that it is in, and then the step's.
    fn parent_by_id(&self, run: &RunId) -> Option<Parent> {
        let run = run.to_string();
        let inside = |told: &Told| {
            let rest = run.strip_prefix(&told.run.to_string())?.strip_prefix('/')?;
            let (step, _) = rest.split_once('/')?;
            Some(Parent { run: told.run.clone(), step: StepRef::new(step.to_owned()), attempt: 1 })
        };
        self.runs.iter().rev().find_map(inside)
    }

    fn run_start(&mut self, event: &Event, start: &RunStart) -> Vec<TextLine> {
        if let Some(line) = self.enter(event, start.plan.clone(), start.parent.clone()) {
            return vec![line];
        }
        let (total, workflow, run) = (start.plan.steps.len(), one_line(&event.workflow), event.run.to_string());
        let steps = if total == 1 { "1 step".to_owned() } else { format!("{total} steps") };
        vec![whole(Level::Info, format!("{workflow}: {steps}, run {}", one_line(&run)))]
    }

    fn run_resume(&mut self, event: &Event, resume: &RunResume) -> Vec<TextLine> {
        let before = self.before.remove(&event.run);
        let known = self.runs.iter().find(|told| told.run == event.run);
        let plan = resume.plan.clone().or_else(|| known.map(|told| told.plan.clone()));
        let plan = plan.or_else(|| before.as_ref().map(|before| before.shared_plan().clone()));
        let plan = plan.unwrap_or_else(|| crate::workflow::Plan::new(event.workflow.clone(), []).into());
        let total = plan.steps.len();
        let parent = before.as_ref().and_then(|before| before.parent().cloned());
        let parent = parent.or_else(|| known.and_then(|told| told.parent.clone()));
        let head = self.enter(event, plan, parent).unwrap_or_else(|| {
            let way = if resume.rollback { " backwards" } else { "" };
            let done = event.progress.as_ref().map_or(0, |progress| progress.completed);
            let (workflow, run) = (one_line(&event.workflow), event.run.to_string());
            let run = one_line(&run);
            whole(Level::Info, format!("{workflow}: run {run} goes on{way}, {done} of {total} steps are completed"))
        });
        let told = self.told(event);
        std::iter::once(head).chain(before.iter().flat_map(|before| told.before(before, resume))).collect()
    }

    fn run_end(&mut self, event: &Event, end: &RunEnd) -> Vec<TextLine> {
        let told = self.told(event);
        told.doing.clear();
        if told.depth > 0 {
            // The line of the step that it is in tells how it ended. It may go on, and is entered again then.
            self.runs.retain(|told| told.run != event.run);
            return Vec::new();
        }
        let (level, text) = words::run_ended(end, event.elapsed);
        vec![whole(level, text)]
    }

    fn step_start(&mut self, event: &Event, start: &StepStart) -> Option<TextLine> {
        let wanted = self.wants(Level::Debug);
        let told = self.told(event);
        told.begin(&start.step, start.attempt, event, Undone::No);
        wanted.then(|| told.line(Level::Debug, '>', &start.step, None, words::begins(start)))
    }

    fn undo_start(&mut self, event: &Event, start: &UndoStart) -> Option<TextLine> {
        let wanted = self.wants(Level::Debug);
        let told = self.told(event);
        told.begin(&start.step, start.attempt, event, Undone::Yes);
        let again = if start.attempt > 1 { format!(", attempt {}", start.attempt) } else { String::new() };
        wanted.then(|| told.line(Level::Debug, '↶', &start.step, None, format!("is being undone{again}")))
    }

    fn step_update(&mut self, event: &Event, update: &StepUpdate) -> Option<TextLine> {
        if let Some(fraction) = update.fraction {
            self.told(event).advance(&update.step, fraction);
        }
        let (message, level) = (update.message.as_deref()?, update.level.unwrap_or(Level::Info));
        let is_bad = matches!(level, Level::Warning | Level::Error);
        let (at_once, wanted) = (self.at_once || is_bad, self.wants(level));
        let told = self.told(event);
        // What is for those who look for a fault is not for the line that a step ends with.
        if !at_once && level != Level::Debug {
            told.note(&update.step, message);
        }
        let message = (at_once && wanted).then(|| one_line(message))?;
        let (mark, text) = if is_bad { ('!', format!("{level}: {message}")) } else { ('·', message.into_owned()) };
        told.hear(&update.step, &text);
        Some(told.line(level, mark, &update.step, None, text))
    }

    fn step_retry(&mut self, event: &Event, retry: &StepRetry) -> Option<TextLine> {
        let (wanted, next) = (self.wants(Level::Warning), self.now + retry.delay);
        let told = self.told(event);
        let of = told.attempts(&retry.step);
        let text = words::retry(retry, of);
        told.wait(&retry.step, next, &words::awaited(retry, of));
        wanted.then(|| told.line(Level::Warning, '↻', &retry.step, None, text))
    }

    fn step_end(&mut self, event: &Event, end: &StepEnd) -> TextLine {
        let told = self.told(event);
        let news = told.finish(&end.step).unwrap_or_default().into_text();
        let attempts = (end.attempt > 1).then(|| format!("{} attempts", end.attempt));
        let news = Some(news).filter(|news| !news.is_empty()).into_iter().chain(attempts);
        let (mark, level, more) = words::ended(end, news.collect::<Vec<_>>().join(", "));
        told.line(level, mark, &end.step, Some(end.duration), more)
    }

    fn undo_end(&mut self, event: &Event, end: &UndoEnd) -> TextLine {
        let told = self.told(event);
        let news = told.finish(&end.step).unwrap_or_default();
        let (mark, level, more) = words::undone(end, &news.into_text());
        told.line(level, mark, &end.step, Some(end.duration), more)
    }

    fn output(&mut self, event: &Event, line: &OutputLine) -> Option<TextLine> {
        let (level, wanted) = (self.output, self.wants(self.output));
        let told = self.told(event);
        told.hear(&line.step, &line.line);
        wanted.then(|| told.output(level, &line.step, &one_line(&line.line)))
    }

    fn task_start(&mut self, event: &Event, start: &TaskStart) -> Option<TextLine> {
        let wanted = self.wants(Level::Debug);
        let told = self.told(event);
        told.task_begins(&start.step, &start.task, &start.name);
        wanted.then(|| told.task(Level::Debug, '>', &start.step, &start.task, ""))
    }

    fn task_update(&mut self, event: &Event, update: &TaskUpdate) -> Option<TextLine> {
        let (message, wanted) = (update.message.as_deref(), self.at_once && self.wants(Level::Debug));
        let told = self.told(event);
        told.task_moves(&update.step, &update.task, update.fraction, message);
        let message = message.filter(|_| wanted)?;
        Some(told.task(Level::Debug, '·', &update.step, &update.task, &one_line(message)))
    }

    fn task_end(&mut self, event: &Event, end: &TaskEnd) -> Option<TextLine> {
        let (mark, level, said) = words::task_ended(end);
        let wanted = self.wants(level);
        let told = self.told(event);
        let line = wanted.then(|| told.task(level, mark, &end.step, &end.task, &said));
        told.task_ends(&end.step, &end.task);
        line
    }

    fn stalled(&mut self, event: &Event, stalled: &Stalled) -> TextLine {
        let said = format!("nothing was heard for {}", words::span(stalled.silent));
        self.told(event).line(Level::Warning, '!', &stalled.step, None, format!("warning: {said}"))
    }
}

/// A line that is about the whole run.
fn whole(level: Level, text: String) -> TextLine {
    TextLine { level, depth: 0, head: None, origin: None, more: text }
}
