//! Tasks: what a step finds to do while it runs.

use std::sync::{Arc, Weak};

use super::{Phase, StepContext};
use crate::event::{Kind, StepRef, StepStatus, TaskEnd, TaskStart, TaskStatus, TaskUpdate, Text};
use crate::link::Shared;
use crate::recorder::Recorder;
use crate::state::{StepState, Undo};

/// A part of a step's work that came up while the step runs, with a progress of its own.
///
/// From [`StepContext::task`]. It can be moved to where the work is done, another thread or a future that runs beside
/// others. The step's fraction is the mean of its tasks'. A task that is dropped before [`complete`](Self::complete) or
/// [`fail`](Self::fail) counts as failed; a failed task does not fail its step, which is for the step's body to decide.
///
/// # Examples
///
/// ```
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow)]
/// enum Upgrade { Nodes }
///
/// fn nodes(cx: &mut StepContext) -> std::io::Result<()> {
///     for node in ["n1", "n2"] {
///         let mut task = cx.task(node, format!("Upgrade {node}"));
///         task.progress(0.5);
///         task.complete();
///     }
///     Ok(())
/// }
///
/// let report = Upgrade::machine().begin()?.step(upgrade::Nodes, nodes)?.finish()?;
/// assert_eq!(report.state().step("nodes").unwrap().tasks().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a task that is dropped counts as failed"]
#[derive(Debug)]
pub struct Task {
    run: Weak<Shared>,
    index: usize,
    /// Tasks belong to an attempt: what an old one still says is not about the new one.
    phase: Phase,
    attempt: u32,
    id: Text,
    has_ended: bool,
}

impl StepContext {
    /// Adds a task to the step, under an id that no other task of this attempt has; one that is taken gives a task
    /// whose news are passed over.
    pub fn task(&mut self, id: impl Into<Text>, name: impl Into<Text>) -> Task {
        let (id, name) = (id.into(), name.into());
        let shared = self.link.share();
        let is_taken = self.ask(|step| step.tasks().iter().any(|task| task.id == id));
        self.record(|step| Kind::TaskStart(Box::new(TaskStart { step, task: id.clone(), name })));
        let (phase, attempt) = (self.phase, self.attempt());
        Task { run: Arc::downgrade(&shared), index: self.index, phase, attempt, id, has_ended: is_taken }
    }
}

impl Task {
    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells how much of the task is done, from 0 to 1; a number outside is taken as the nearer end.
    ///
    /// May be called as often as is convenient: see [`StepContext::progress`].
    pub fn progress(&mut self, fraction: f64) {
        self.write(|recorder, task| recorder.record_fraction(task.index, Some(&task.id), super::fraction(fraction)));
    }

    /// Tells people something.
    pub fn message(&mut self, message: impl Into<Text>) {
        let (task, message) = (self.id.clone(), Some(message.into()));
        let update = |step| TaskUpdate { step, task, fraction: None, message, thinned: 0 };
        self.record(|step| Kind::TaskUpdate(Box::new(update(step))));
    }

    /// Ends the task as done.
    pub fn complete(mut self) {
        self.end(TaskStatus::Completed, None);
    }

    /// Ends the task as failed, and says why.
    pub fn fail(mut self, why: impl Into<Text>) {
        self.end(TaskStatus::Failed, Some(why.into()));
    }

    fn end(&mut self, status: TaskStatus, message: Option<Text>) {
        let task = self.id.clone();
        self.record(|step| Kind::TaskEnd(Box::new(TaskEnd { step, task, status, message })));
        self.has_ended = true;
    }

    fn record(&mut self, kind: impl FnOnce(StepRef) -> Kind) {
        self.write(|recorder, task| {
            let step = recorder.state().step_ref(task.index);
            recorder.record_news(kind(step));
        });
    }

    /// Writes what the task has to say, where anybody waits for it.
    fn write(&mut self, write: impl FnOnce(&mut Recorder, &Self)) {
        let Some(shared) = self.run.upgrade().filter(|_| !self.has_ended) else { return };
        let mut recorder = shared.lock();
        if self.belongs_to(recorder.step(self.index)) {
            write(&mut recorder, self);
        }
    }

    /// Whether the attempt goes on that the task was added in.
    fn belongs_to(&self, step: &StepState) -> bool {
        let (goes_on, attempt) = match self.phase {
            Phase::Run => (step.status() == StepStatus::Running, step.attempts()),
            Phase::Undo => (step.undo() == Undo::Running, step.undo_attempts()),
            #[cfg(feature = "runner")]
            Phase::Skip => (false, 0),
        };
        goes_on && !step.is_waiting() && attempt == self.attempt
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end(TaskStatus::Failed, Some("dropped before its end".into()));
    }
}
