//! A run that is told.

use std::time::Duration;

use super::clean::{columns, one_line};
use super::line::{Head, TextLine};
use super::news::News;
use super::words;
use crate::event::{Event, Level, Parent, RunResume, StepRef};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::SharedPlan;

#[derive(Debug)]
pub(in crate::observe) struct Told {
    pub(in crate::observe) run: RunId,
    pub(in crate::observe) plan: SharedPlan,
    /// The step that it is nested in.
    pub(in crate::observe) parent: Option<Parent>,
    /// How many runs it is nested in.
    pub(in crate::observe) depth: usize,
    /// How many columns the longest name has.
    width: usize,
    /// What runs at the moment.
    pub(in crate::observe) doing: Vec<Doing>,
}

/// A step that runs, or is being undone.
#[derive(Debug)]
pub(in crate::observe) struct Doing {
    pub(in crate::observe) step: StepRef,
    pub(in crate::observe) undone: Undone,
    /// When it began, in time since the Unix epoch.
    pub(in crate::observe) since: Duration,
    /// How many attempts there were before this process took the run on, which has as many as the rule says for itself.
    attempts_before: u32,
    news: News,
    /// What was last heard of it: a line of a command, or what is waited for.
    heard: String,
    /// How much of it is done, where that was told.
    pub(in crate::observe) fraction: Option<f64>,
    /// When the next attempt begins, in time since the Unix epoch.
    pub(in crate::observe) next_attempt: Option<Duration>,
    /// The tasks that are going on.
    pub(in crate::observe) tasks: Vec<Task>,
}

/// A task that is going on.
#[derive(Debug)]
pub(in crate::observe) struct Task {
    id: String,
    pub(in crate::observe) name: String,
    pub(in crate::observe) fraction: Option<f64>,
    pub(in crate::observe) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) enum Undone {
    No,
    Yes,
}

impl Doing {
    /// What was last heard of it.
    pub(in crate::observe) fn last(&self) -> &str {
        if self.heard.is_empty() { self.news.last() } else { &self.heard }
    }
}

impl Told {
    pub(super) fn new(run: RunId, plan: SharedPlan, parent: Option<Parent>, depth: usize) -> Self {
        let width = plan.steps.iter().map(|step| columns(&one_line(&step.name))).max().unwrap_or(0);
        Self { run, plan, parent, depth, width, doing: Vec::new() }
    }

    pub(super) fn begin(&mut self, step: &StepRef, attempt: u32, event: &Event, undone: Undone) {
        if let Some(doing) = self.doing.iter_mut().find(|doing| doing.step == *step && doing.undone == undone) {
            // Another attempt: its time goes on, and so does what it told.
            doing.heard.clear();
            doing.tasks.clear();
            (doing.fraction, doing.next_attempt) = (None, None);
            return;
        }
        self.doing.retain(|doing| doing.step != *step);
        let since = event.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.doing.push(Doing {
            step: step.clone(),
            undone,
            since,
            attempts_before: attempt.saturating_sub(1),
            news: News::default(),
            heard: String::new(),
            fraction: None,
            next_attempt: None,
            tasks: Vec::new(),
        });
    }

    /// Takes a step off what runs; what it told.
    pub(super) fn finish(&mut self, step: &StepRef) -> Option<News> {
        let at = self.doing.iter().position(|doing| doing.step == *step)?;
        Some(self.doing.remove(at).news)
    }

    fn doing(&mut self, step: &StepRef) -> Option<&mut Doing> {
        self.doing.iter_mut().find(|doing| doing.step == *step)
    }

    /// Keeps a message for the line that the step ends with.
    pub(super) fn note(&mut self, step: &StepRef, message: &str) {
        if let Some(doing) = self.doing(step) {
            doing.heard.clear();
            doing.news.add(message);
        }
    }

    /// Keeps the last line of a command.
    pub(super) fn hear(&mut self, step: &StepRef, line: &str) {
        if let Some(doing) = self.doing(step) {
            doing.heard.clear();
            doing.heard.push_str(&one_line(line));
        }
    }

    /// How many attempts at a step there are to be, with those before this process, where its rule says that.
    pub(super) fn attempts(&self, step: &StepRef) -> Option<u32> {
        let rule = self.plan.step(step.id())?.retry?;
        let doing = self.doing.iter().find(|doing| doing.step == *step);
        Some(rule.attempts.saturating_add(doing.map_or(0, |doing| doing.attempts_before)))
    }

    /// Another attempt comes at `next`, in time since the Unix epoch.
    pub(super) fn wait(&mut self, step: &StepRef, next: Duration, text: &str) {
        if let Some(doing) = self.doing(step) {
            doing.next_attempt = Some(next);
            text.clone_into(&mut doing.heard);
        }
    }

    pub(super) fn advance(&mut self, step: &StepRef, fraction: f64) {
        if let Some(doing) = self.doing(step) {
            doing.fraction = Some(fraction);
        }
    }

    pub(super) fn task_begins(&mut self, step: &StepRef, task: &str, name: &str) {
        if let Some(doing) = self.doing(step) {
            doing.tasks.retain(|other| other.id != task);
            let (id, name) = (task.to_owned(), one_line(name).into_owned());
            doing.tasks.push(Task { id, name, fraction: None, message: String::new() });
        }
    }

    pub(super) fn task_moves(&mut self, step: &StepRef, task: &str, fraction: Option<f64>, message: Option<&str>) {
        let tasks = self.doing(step).map(|doing| &mut doing.tasks);
        if let Some(task) = tasks.and_then(|tasks| tasks.iter_mut().find(|other| other.id == task)) {
            task.fraction = fraction.or(task.fraction);
            if let Some(message) = message {
                task.message.clear();
                task.message.push_str(&one_line(message));
            }
        }
    }

    pub(super) fn task_ends(&mut self, step: &StepRef, task: &str) {
        if let Some(doing) = self.doing(step) {
            doing.tasks.retain(|other| other.id != task);
        }
    }

    /// A line that begins with a step; with how long it took, where that is known.
    pub(super) fn line(
        &self,
        level: Level,
        mark: char,
        step: &StepRef,
        took: Option<Duration>,
        more: String,
    ) -> TextLine {
        TextLine { level, depth: self.depth, head: Some(self.head(mark, step, took)), origin: None, more }
    }

    pub(in crate::observe) fn head(&self, mark: char, step: &StepRef, took: Option<Duration>) -> Head {
        let (total, width) = (self.plan.steps.len(), self.width);
        match step.find(&self.plan) {
            Some(at) => {
                let name = one_line(&self.plan.steps[at].name).into_owned();
                Head { mark, number: at + 1, total, name, width, took }
            }
            None => Head { mark, number: 0, total: 0, name: one_line(step.id()).into_owned(), width, took },
        }
    }

    /// `  3/9  | what a command wrote`
    pub(super) fn output(&self, level: Level, step: &StepRef, line: &str) -> TextLine {
        let head = self.head(' ', step, None);
        let (count, depth) = (head.count(), self.depth);
        let more = format!("  {count}  | {line}");
        TextLine { level, depth, head: None, origin: Some((count, head.name)), more }
    }

    /// `    > 3/9  Install packages: curl  said`
    pub(super) fn task(&self, level: Level, mark: char, step: &StepRef, task: &str, said: &str) -> TextLine {
        let doing = self.doing.iter().find(|doing| doing.step == *step);
        let known = doing.and_then(|doing| doing.tasks.iter().find(|known| known.id == task));
        let name = known.map(|known| known.name.clone());
        let name = name.unwrap_or_else(|| one_line(task).into_owned());
        let mut head = self.head(mark, step, None);
        head.name = format!("{}: {name}", head.name);
        TextLine { level, depth: self.depth + 1, head: Some(head), origin: None, more: said.to_owned() }
    }

    pub(super) fn still(&self, doing: &Doing, now: Duration) -> TextLine {
        let last = doing.last();
        let what = match doing.undone {
            Undone::No => "still running",
            Undone::Yes => "still being undone",
        };
        let more = if last.is_empty() { what.to_owned() } else { format!("{what}: {last}") };
        self.line(Level::Info, '…', &doing.step, Some(now.saturating_sub(doing.since)), more)
    }

    /// What was settled before, and is not to run again.
    pub(super) fn before(&self, state: &RunState, resume: &RunResume) -> Vec<TextLine> {
        let mut lines = Vec::new();
        for (step, info) in state.steps().iter().zip(&state.plan().steps) {
            let is_again = resume.again.iter().any(|again| again.id() == info.id);
            if let Some((mark, level, more)) = words::before(step).filter(|_| !is_again) {
                let step_ref = StepRef::new(info.id.clone());
                lines.push(self.line(level, mark, &step_ref, Some(step.duration().unwrap_or_default()), more));
            }
        }
        lines
    }
}
