//! The second half of the transition function: what an event that may happen does.

use super::check::Target;
use super::step::{Details, Output, TaskState, Undo};
use super::{Counts, RunState, Stamp};
use crate::event::{
    Kind, Level, Reason, RunEnd, RunResume, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, StepUpdate, TaskEnd,
    TaskStart, TaskStatus, TaskUpdate, UndoEnd, UndoStart, UndoStatus,
};
use crate::time::nanos;

impl RunState {
    /// Does what [`check`](Self::check) allowed.
    #[inline]
    pub(crate) fn commit(&mut self, stamp: Stamp, kind: &Kind, target: Target) {
        self.counts.seq = stamp.seq;
        self.counts.elapsed = stamp.elapsed;
        let Target(index) = target;
        match kind {
            Kind::StepStart(start) => self.start_step(index, start),
            Kind::StepEnd(end) => self.end_step(index, end),
            Kind::StepRetry(retry) => self.retry_step(index, retry),
            Kind::StepUpdate(update) => self.update_step(index, update),
            Kind::TaskStart(start) => self.start_task(index, start),
            Kind::TaskUpdate(update) => self.update_task(index, update),
            Kind::TaskEnd(end) => self.end_task(index, end),
            Kind::UndoStart(undo) => self.start_undo(index, undo),
            Kind::UndoEnd(undo) => self.end_undo(index, undo),
            Kind::RunResume(resume) => self.resume(resume),
            Kind::RunEnd(end) => self.end_run(end),
            Kind::RunStart(_) | Kind::Stdout(_) | Kind::Stderr(_) | Kind::Stalled(_) | Kind::Unknown(_) => {}
        }
    }

    #[inline]
    fn start_step(&mut self, index: usize, start: &StepStart) {
        let (seq, now) = (self.counts.seq, self.counts.elapsed);
        let step = &mut self.steps[index];
        if step.attempts == 0 {
            step.started = now;
            step.started_seq = seq;
        }
        if step.status == StepStatus::Pending {
            self.counts.active += 1;
        }
        step.status = StepStatus::Running;
        step.reason = None;
        step.waiting = false;
        step.attempts = start.attempt;
        step.interrupted = start.interrupted;
        step.attempt_started = now;
        step.forget_tasks();
        self.counts.current = Some(index);
    }

    #[inline]
    fn end_step(&mut self, index: usize, end: &StepEnd) {
        let step = &mut self.steps[index];
        if step.status == StepStatus::Running {
            self.counts.active -= 1;
        }
        step.status = end.status;
        step.reason = end.reason;
        step.waiting = false;
        // A failure does not tell what the attempt did that was cut off before it: who tries again, and who takes it
        // back, is to know of that one still.
        let is_left_out = end.status == StepStatus::Skipped && end.reason != Some(Reason::Failed);
        if end.status == StepStatus::Completed || is_left_out {
            step.interrupted = false;
        }
        step.ended = self.counts.elapsed;
        let output = Output::of(end);
        let has_details = end.error.is_some() || output.is_some() || end.message.is_some();
        // What an earlier attempt left goes too: it is not how the step ended.
        if has_details || step.details.is_some() {
            let details = step.details_mut();
            details.error = end.error.as_deref().cloned();
            details.output = output;
            if end.status == StepStatus::Completed {
                details.output_before = None;
            }
            details.skipped_because.clone_from(&end.message);
        }
        if end.status.is_settled() {
            self.counts.settled += 1;
            self.counts.warnings += usize::from(end.reason == Some(Reason::Failed));
            self.counts.settled_weight += self.plan.steps[index].weight;
            self.steps[index].fraction = 0.0;
            self.reach();
        } else {
            self.counts.halted += 1;
        }
    }

    /// Raises the progress to what is settled plus what the running steps report.
    #[inline]
    fn reach(&mut self) {
        let mut weight = self.counts.settled_weight;
        if self.counts.active > 0 {
            let running = self.steps.iter().zip(&self.plan.steps);
            weight += running
                .filter(|(step, _)| step.status == StepStatus::Running)
                .map(|(step, info)| step.fraction * info.weight)
                .sum::<f64>();
        }
        self.counts.reached_weight = self.counts.reached_weight.max(weight);
    }

    fn retry_step(&mut self, index: usize, retry: &StepRetry) {
        let next_attempt = self.counts.elapsed.saturating_add(nanos(retry.delay));
        let step = &mut self.steps[index];
        step.waiting = true;
        step.fraction = 0.0;
        let undoing = step.undo == Undo::Running;
        let details = step.details_mut();
        details.next_attempt = next_attempt;
        if undoing {
            details.undo_error = Some(retry.error.clone());
        } else {
            details.error = Some(retry.error.clone());
        }
    }

    fn update_step(&mut self, index: usize, update: &StepUpdate) {
        self.counts.thinned = self.counts.thinned.saturating_add(update.thinned);
        let step = &mut self.steps[index];
        if update.message.is_some() || !update.metadata.is_empty() {
            let details = step.details_mut();
            if let Some(message) = &update.message {
                details.message = Some((update.level.unwrap_or(Level::Info), message.clone()));
            }
            details.metadata.extend(update.metadata.clone());
        }
        if let Some(fraction) = update.fraction {
            step.fraction = fraction;
            self.reach();
        }
    }

    fn start_task(&mut self, index: usize, start: &TaskStart) {
        self.steps[index].details_mut().tasks.push(TaskState {
            id: start.task.clone(),
            name: start.name.clone(),
            status: TaskStatus::Running,
            fraction: 0.0,
            message: None,
        });
        self.follow_tasks(index);
    }

    fn update_task(&mut self, index: usize, update: &TaskUpdate) {
        self.counts.thinned = self.counts.thinned.saturating_add(update.thinned);
        let details = self.steps[index].details_mut();
        let Some(task) = details.tasks.iter_mut().find(|task| task.id == update.task) else { return };
        if let Some(fraction) = update.fraction {
            details.open_tasks += fraction - task.fraction;
            task.fraction = fraction;
        }
        if update.message.is_some() {
            task.message.clone_from(&update.message);
        }
        self.follow_tasks(index);
    }

    fn end_task(&mut self, index: usize, end: &TaskEnd) {
        let details = self.steps[index].details_mut();
        let Some(task) = details.tasks.iter_mut().find(|task| task.id == end.task) else { return };
        task.status = end.status;
        if end.status == TaskStatus::Completed {
            details.completed_tasks += 1;
            details.open_tasks -= task.fraction;
            task.fraction = 1.0;
        }
        if end.message.is_some() {
            task.message.clone_from(&end.message);
        }
        self.follow_tasks(index);
    }

    /// Takes the mean of a step's tasks for what is done of it.
    fn follow_tasks(&mut self, index: usize) {
        let step = &mut self.steps[index];
        step.fraction = step.details_mut().mean_of_tasks();
        self.reach();
    }

    fn start_undo(&mut self, index: usize, undo: &UndoStart) {
        let now = self.counts.elapsed;
        self.counts.status = RunStatus::RollingBack;
        let step = &mut self.steps[index];
        if step.undo != Undo::Running {
            self.counts.active += 1;
            step.details_mut().undo_started = now;
        }
        step.undo = Undo::Running;
        step.waiting = false;
        step.forget_tasks();
        step.details_mut().undo_attempts = undo.attempt;
    }

    fn end_undo(&mut self, index: usize, undo: &UndoEnd) {
        self.counts.status = RunStatus::RollingBack;
        let step = &mut self.steps[index];
        if step.undo == Undo::Running {
            self.counts.active -= 1;
        }
        step.undo = Undo::Ended(undo.status);
        step.waiting = false;
        let before = step.status;
        step.status = match undo.status {
            UndoStatus::Undone => {
                step.interrupted = false;
                StepStatus::Undone
            }
            UndoStatus::UndoFailed => StepStatus::UndoFailed,
            UndoStatus::Skipped => before,
        };
        let details = step.details_mut();
        details.before_undo.get_or_insert(before);
        details.undo_error.clone_from(&undo.error);
        details.undo_message.clone_from(&undo.message);
        if before.is_settled() && !self.steps[index].status.is_settled() {
            self.counts.settled -= 1;
        }
    }

    fn resume(&mut self, resume: &RunResume) {
        match &resume.plan {
            Some(plan) if **plan == *self.plan => self.take_same_plan(plan.clone()),
            Some(plan) => self.rebase(plan.clone()),
            None => {}
        }
        self.forget(&resume.again);
        if let (Some(attempt), Some(parent)) = (resume.parent_attempt, self.parent_mut()) {
            parent.attempt = attempt;
        }
        for step in &mut self.steps {
            let is_cut_off = step.is_cut_off();
            step.interrupted |= is_cut_off;
            if step.undo == Undo::Running {
                // Its end is not known, so it is tried again like one that failed.
                step.undo = Undo::Ended(UndoStatus::UndoFailed);
                step.waiting = false;
                continue;
            }
            step.waiting = false;
            match step.status {
                StepStatus::Running if resume.rollback => {
                    step.status = StepStatus::Cancelled;
                    self.counts.halted += 1;
                    if let Some(details) = step.details.as_mut().filter(|_| is_cut_off) {
                        // It is that of the attempt before the one that was cut off.
                        details.error = None;
                    }
                }
                StepStatus::Running | StepStatus::Failed | StepStatus::Cancelled if !resume.rollback => {
                    step.status = StepStatus::Pending;
                    step.fraction = 0.0;
                }
                _ => {}
            }
        }
        self.counts.active = 0;
        self.counts.status = if resume.rollback { RunStatus::RollingBack } else { RunStatus::Running };
        if !resume.rollback {
            self.counts.halted = 0;
            self.failure = None;
        }
    }

    fn end_run(&mut self, end: &RunEnd) {
        self.counts.status = end.status;
        self.failure = end.failure.clone().map(Box::new);
    }
}

/// What a single event can change, kept to take the event back.
pub(crate) enum Saved {
    Step { index: usize, step: Box<super::StepState>, counts: Counts },
    Run(Box<RunState>),
}

impl RunState {
    /// Keeps what an event about `target` can change.
    pub(crate) fn save(&self, target: Target) -> Saved {
        let Target(index) = target;
        match self.steps.get(index) {
            Some(step) => Saved::Step { index, step: Box::new(step.clone()), counts: self.counts.clone() },
            None => Saved::Run(Box::new(self.clone())),
        }
    }

    /// Takes the last event back.
    pub(crate) fn restore(&mut self, saved: Saved) {
        match saved {
            Saved::Step { index, step, counts } => {
                self.steps[index] = *step;
                self.counts = counts;
            }
            Saved::Run(state) => *self = *state,
        }
    }
}

impl Details {
    #[expect(clippy::cast_precision_loss, reason = "nobody sees the difference in a share of so many tasks")]
    fn mean_of_tasks(&self) -> f64 {
        let (all, completed) = (self.tasks.len(), self.completed_tasks);
        // The sum is rounded with each of its changes; done is done.
        if completed == all {
            return 1.0;
        }
        ((completed as f64 + self.open_tasks) / all as f64).clamp(0.0, 1.0)
    }
}
