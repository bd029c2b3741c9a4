//! The transition function: [`RunState::check`] decides, [`RunState::commit`] does.

use super::step::{Details, TaskState, Undo};
use super::{Counts, Illegal, IllegalReason, RunState, Stamp};
use crate::event::{
    Kind, Level, Reason, RunEnd, RunResume, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, StepUpdate, TaskEnd,
    TaskStart, TaskStatus, TaskUpdate, UndoEnd, UndoStart, UndoStatus,
};

type Verdict = Result<(), IllegalReason>;

/// Which step an event is about, as [`RunState::check`] found it; unused for the events of the run itself.
#[derive(Clone, Copy)]
pub(crate) struct Target(usize);

const NO_STEP: Target = Target(usize::MAX);

impl RunState {
    /// The number and time of an event that happens `elapsed` after the run's start.
    #[inline]
    pub(crate) fn next_stamp(&self, elapsed: u64) -> Stamp {
        Stamp {
            seq: self.counts.seq + 1,
            // Two clocks of one machine may disagree by a little across processes; order does not depend on them.
            elapsed: elapsed.max(self.counts.elapsed),
        }
    }

    /// Whether `kind` may happen now; changes nothing.
    #[inline]
    pub(crate) fn check(&self, stamp: Stamp, kind: &Kind) -> Result<Target, Illegal> {
        self.verdict(stamp, kind).map_err(|reason| Illegal::new(stamp.seq, kind, reason))
    }

    #[inline]
    fn verdict(&self, stamp: Stamp, kind: &Kind) -> Result<Target, IllegalReason> {
        if stamp.seq != self.counts.seq + 1 {
            return Err(IllegalReason::OutOfSequence { expected: self.counts.seq + 1 });
        }
        if stamp.elapsed < self.counts.elapsed {
            return Err(IllegalReason::TimeWentBack { previous: self.elapsed() });
        }
        let Some(step) = kind.step() else {
            self.check_run(kind)?;
            return Ok(NO_STEP);
        };
        let index = step.find(&self.plan).ok_or(IllegalReason::UnknownStep)?;
        match kind {
            Kind::StepStart(start) => self.check_step_start(index, start)?,
            Kind::StepEnd(end) => self.check_step_end(index, end)?,
            Kind::StepRetry(retry) => self.check_retry(index, retry)?,
            Kind::UndoStart(undo) => self.check_undo_start(index, undo)?,
            Kind::UndoEnd(undo) => self.check_undo_end(index, undo)?,
            _ => self.check_news(index, kind)?,
        }
        Ok(Target(index))
    }

    fn check_run(&self, kind: &Kind) -> Verdict {
        match kind {
            Kind::RunStart(_) => Err(IllegalReason::AlreadyStarted),
            Kind::RunResume(resume) => self.check_resume(resume),
            Kind::RunEnd(end) => self.check_run_end(end),
            _ => Ok(()),
        }
    }

    fn check_resume(&self, resume: &RunResume) -> Verdict {
        let backwards_only = matches!(self.counts.status, RunStatus::RollingBack | RunStatus::Stuck);
        if !self.counts.status.can_resume() || (backwards_only && !resume.rollback) {
            return Err(IllegalReason::Run { status: self.counts.status });
        }
        let Some(plan) = &resume.plan else { return Ok(()) };
        plan.check().map_err(IllegalReason::Plan)?;
        match self.plan_changes(plan).into_iter().next() {
            Some(change) => Err(IllegalReason::PlanChanged { change }),
            None => Ok(()),
        }
    }

    fn check_run_end(&self, end: &RunEnd) -> Verdict {
        if self.counts.active > 0 {
            let running = self.steps.iter().position(|step| step.is_active()).unwrap_or_default();
            return Err(IllegalReason::StillRunning { step: self.id(running) });
        }
        let from = match end.status {
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => RunStatus::Running,
            RunStatus::RolledBack | RunStatus::Stuck => RunStatus::RollingBack,
            RunStatus::Running | RunStatus::RollingBack => {
                return Err(IllegalReason::Rule { rule: "a run that goes on has no end" });
            }
        };
        if self.counts.status != from {
            return Err(IllegalReason::Run { status: self.counts.status });
        }
        let left = match end.status {
            RunStatus::Completed => self.steps.iter().position(|step| !step.status.is_settled()),
            RunStatus::RolledBack => (0..self.steps.len()).find(|&index| self.wants_undo(index)),
            RunStatus::Stuck if !self.has_failed_undo() => {
                return Err(IllegalReason::Rule { rule: "a run is stuck only when an undo failed" });
            }
            _ => None,
        };
        match left {
            Some(index) => Err(IllegalReason::Unfinished { step: self.id(index) }),
            None => Ok(()),
        }
    }

    fn has_failed_undo(&self) -> bool {
        self.steps.iter().any(|step| step.undo == Undo::Ended(UndoStatus::UndoFailed))
    }

    #[inline]
    fn check_goes_forward(&self) -> Verdict {
        if self.counts.status == RunStatus::Running {
            Ok(())
        } else {
            Err(IllegalReason::Run { status: self.counts.status })
        }
    }

    #[inline]
    fn check_step_start(&self, index: usize, start: &StepStart) -> Verdict {
        self.check_goes_forward()?;
        let step = &self.steps[index];
        if !(step.status == StepStatus::Pending || (step.status == StepStatus::Running && step.waiting)) {
            return Err(IllegalReason::Step { status: step.status });
        }
        if start.attempt != step.attempts + 1 {
            return Err(IllegalReason::Attempt { expected: step.attempts + 1 });
        }
        self.check_turn(index)
    }

    /// Whether everything is settled that comes before the step, and nothing stopped the run.
    #[inline]
    fn check_turn(&self, index: usize) -> Verdict {
        if self.counts.halted > 0 {
            let step = self.halted_step().unwrap_or(index);
            return Err(IllegalReason::Halted { step: self.id(step) });
        }
        if !self.plan.parallel && self.counts.settled == index {
            return Ok(());
        }
        match self.blocker(index) {
            None => Ok(()),
            Some(before) => Err(IllegalReason::TooEarly { before: self.id(before) }),
        }
    }

    fn blocker(&self, index: usize) -> Option<usize> {
        let unsettled = |&before: &usize| !self.steps[before].status.is_settled();
        if self.plan.parallel {
            self.plan.steps[index].needs.iter().filter_map(|need| self.plan.position(need)).find(unsettled)
        } else {
            (0..index).find(unsettled)
        }
    }

    #[inline]
    fn check_step_end(&self, index: usize, end: &StepEnd) -> Verdict {
        self.check_goes_forward()?;
        let step = &self.steps[index];
        if end.status == StepStatus::Skipped && end.reason != Some(Reason::Failed) {
            return self.check_skip(index);
        }
        if step.status != StepStatus::Running || (step.waiting && end.status == StepStatus::Completed) {
            return Err(IllegalReason::Step { status: step.status });
        }
        if end.attempt != step.attempts {
            return Err(IllegalReason::Attempt { expected: step.attempts });
        }
        let critical = self.plan.steps[index].critical;
        match end.status {
            StepStatus::Completed | StepStatus::Cancelled => Ok(()),
            StepStatus::Failed if critical => Ok(()),
            StepStatus::Skipped if !critical => Ok(()),
            StepStatus::Failed => Err(IllegalReason::Rule { rule: "a non-critical step that fails ends as skipped" }),
            StepStatus::Skipped => Err(IllegalReason::Rule { rule: "a critical step that fails ends as failed" }),
            _ => Err(IllegalReason::Rule { rule: "a step ends as completed, failed, skipped or cancelled" }),
        }
    }

    fn check_skip(&self, index: usize) -> Verdict {
        let status = self.steps[index].status;
        if status != StepStatus::Pending {
            return Err(IllegalReason::Step { status });
        }
        if !self.plan.steps[index].skippable {
            return Err(IllegalReason::Rule { rule: "only a skippable step may be skipped on purpose" });
        }
        self.check_turn(index)
    }

    fn check_retry(&self, index: usize, retry: &StepRetry) -> Verdict {
        let step = &self.steps[index];
        if !step.is_active() || step.waiting {
            return Err(IllegalReason::Step { status: step.status });
        }
        let expected = if step.undo == Undo::Running { step.undo_attempts() } else { step.attempts };
        if retry.attempt != expected {
            return Err(IllegalReason::Attempt { expected });
        }
        Ok(())
    }

    fn check_undo_start(&self, index: usize, undo: &UndoStart) -> Verdict {
        self.check_goes_backward()?;
        let step = &self.steps[index];
        if !self.plan.steps[index].undo {
            return Err(IllegalReason::Rule { rule: "the step declares no undo" });
        }
        let again = step.undo == Undo::Running && step.waiting;
        let open = matches!(step.undo, Undo::None | Undo::Ended(UndoStatus::UndoFailed));
        if !step.has_begun() || !(again || open) {
            return Err(IllegalReason::Step { status: step.status });
        }
        if undo.attempt != step.undo_attempts() + 1 {
            return Err(IllegalReason::Attempt { expected: step.undo_attempts() + 1 });
        }
        match self.undone_first(index) {
            Some(first) => Err(IllegalReason::TooEarly { before: self.id(first) }),
            None => Ok(()),
        }
    }

    /// Undoing begins once the run was stopped and nothing runs any more.
    fn check_goes_backward(&self) -> Verdict {
        let stopped = self.counts.status == RunStatus::Running && self.counts.halted > 0;
        if !stopped && self.counts.status != RunStatus::RollingBack {
            return Err(IllegalReason::Run { status: self.counts.status });
        }
        match self.steps.iter().position(|step| step.status == StepStatus::Running) {
            Some(index) => Err(IllegalReason::StillRunning { step: self.id(index) }),
            None => Ok(()),
        }
    }

    /// A step that builds on this one, is still to be undone and was not tried yet.
    fn undone_first(&self, index: usize) -> Option<usize> {
        let open = |&later: &usize| {
            self.wants_undo(later) && !matches!(self.steps[later].undo, Undo::Ended(UndoStatus::UndoFailed))
        };
        if self.plan.parallel {
            self.dependents(index).into_iter().find(open)
        } else {
            (index + 1..self.steps.len()).find(open)
        }
    }

    /// The steps that need this one, directly or by way of others.
    fn dependents(&self, index: usize) -> Vec<usize> {
        let mut found = vec![index];
        let mut next = 0;
        while let Some(&needed) = found.get(next) {
            next += 1;
            for (later, step) in self.plan.steps.iter().enumerate() {
                if !found.contains(&later) && step.needs.contains(&self.plan.steps[needed].id) {
                    found.push(later);
                }
            }
        }
        found.swap_remove(0);
        found
    }

    fn check_undo_end(&self, index: usize, undo: &UndoEnd) -> Verdict {
        let step = &self.steps[index];
        if undo.status == UndoStatus::Skipped {
            self.check_goes_backward()?;
            return if self.wants_undo(index) && step.undo != Undo::Running {
                Ok(())
            } else {
                Err(IllegalReason::Step { status: step.status })
            };
        }
        if step.undo != Undo::Running || (step.waiting && undo.status == UndoStatus::Undone) {
            return Err(IllegalReason::Step { status: step.status });
        }
        Ok(())
    }

    fn check_news(&self, index: usize, kind: &Kind) -> Verdict {
        let step = &self.steps[index];
        if !step.is_active() {
            return Err(IllegalReason::Step { status: step.status });
        }
        let fraction = match kind {
            Kind::StepUpdate(update) => update.fraction,
            Kind::TaskUpdate(update) => update.fraction,
            _ => None,
        };
        if let Some(fraction) = fraction.filter(|fraction| !(0.0..=1.0).contains(fraction)) {
            return Err(IllegalReason::Fraction { fraction });
        }
        let running =
            |task: &str| step.tasks().iter().any(|known| known.id == task && known.status == TaskStatus::Running);
        let known = |task: &str| step.tasks().iter().any(|known| known.id == task);
        let (task, problem) = match kind {
            Kind::TaskStart(start) if known(&start.task) => (&start.task, "was added before"),
            Kind::TaskUpdate(update) if !running(&update.task) => (&update.task, "is not running"),
            Kind::TaskEnd(end) if !running(&end.task) => (&end.task, "is not running"),
            Kind::TaskEnd(end) if end.status == TaskStatus::Running => {
                return Err(IllegalReason::Rule { rule: "a task ends as completed or failed" });
            }
            _ => return Ok(()),
        };
        Err(IllegalReason::Task { task: task.clone().into_owned(), problem })
    }

    fn id(&self, index: usize) -> String {
        self.plan.steps[index].id.clone()
    }

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
        step.interrupted = false;
        step.ended = self.counts.elapsed;
        let has_details = end.error.is_some() || end.output.is_some() || end.message.is_some();
        // What an earlier attempt left goes too: it is not how the step ended.
        if has_details || step.details.is_some() {
            let details = step.details_mut();
            details.error = end.error.as_deref().cloned();
            details.output = end.output.as_deref().cloned();
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
        let step = &mut self.steps[index];
        step.waiting = true;
        step.fraction = 0.0;
        let undoing = step.undo == Undo::Running;
        let details = step.details_mut();
        if undoing {
            details.undo_error = Some(retry.error.clone());
        } else {
            details.error = Some(retry.error.clone());
        }
    }

    fn update_step(&mut self, index: usize, update: &StepUpdate) {
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
    }

    fn update_task(&mut self, index: usize, update: &TaskUpdate) {
        let Some(task) = self.steps[index].details_mut().task_mut(&update.task) else { return };
        task.fraction = update.fraction.unwrap_or(task.fraction);
        if update.message.is_some() {
            task.message.clone_from(&update.message);
        }
    }

    fn end_task(&mut self, index: usize, end: &TaskEnd) {
        let Some(task) = self.steps[index].details_mut().task_mut(&end.task) else { return };
        task.status = end.status;
        if end.status == TaskStatus::Completed {
            task.fraction = 1.0;
        }
        if end.message.is_some() {
            task.message.clone_from(&end.message);
        }
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
            UndoStatus::Undone => StepStatus::Undone,
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
        if let Some(plan) = &resume.plan {
            self.rebase(plan.clone());
        }
        for step in &mut self.steps {
            if step.undo == Undo::Running {
                // Its end is not known, so it is tried again like one that failed.
                step.undo = Undo::Ended(UndoStatus::UndoFailed);
                step.waiting = false;
                continue;
            }
            let running = step.status == StepStatus::Running;
            step.interrupted |= running && !step.waiting;
            step.waiting = false;
            match step.status {
                StepStatus::Running if resume.rollback => {
                    step.status = StepStatus::Cancelled;
                    self.counts.halted += 1;
                }
                StepStatus::Running | StepStatus::Failed | StepStatus::Cancelled if !resume.rollback => {
                    step.status = StepStatus::Pending;
                    step.fraction = 0.0;
                }
                _ => {}
            }
        }
        self.counts.active = 0;
        self.failure = None;
        self.counts.status = if resume.rollback { RunStatus::RollingBack } else { RunStatus::Running };
        if !resume.rollback {
            self.counts.halted = 0;
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

impl super::StepState {
    fn is_active(&self) -> bool {
        self.status == StepStatus::Running || self.undo == Undo::Running
    }

    /// Tasks belong to an attempt: the next one adds the same ones again.
    fn forget_tasks(&mut self) {
        if let Some(details) = &mut self.details {
            details.tasks.clear();
        }
    }
}

impl Details {
    fn task_mut(&mut self, id: &str) -> Option<&mut TaskState> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }
}
