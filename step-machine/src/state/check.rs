//! The first half of the transition function: whether an event may happen.

use super::step::Undo;
use super::{Illegal, IllegalReason, RunState, Stamp};
use crate::event::{
    Kind, Reason, RunEnd, RunResume, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, TaskStatus, UndoEnd,
    UndoStart, UndoStatus,
};
use crate::graph;

type Verdict = Result<(), IllegalReason>;

/// Which step an event is about, as [`RunState::check`] found it; unused for the events of the run itself.
#[derive(Clone, Copy)]
pub(crate) struct Target(pub(super) usize);

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

    /// The number and time of the last event.
    pub(crate) fn last_stamp(&self) -> Stamp {
        Stamp { seq: self.counts.seq, elapsed: self.counts.elapsed }
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
        // Most events are about the step that began last, or the next one.
        let likely = [self.counts.current.unwrap_or(0), self.counts.settled];
        let index = step.find_near(&self.plan, likely).ok_or(IllegalReason::UnknownStep)?;
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
        // Completed is final, but for a run inside a step of another one that takes back what it did.
        let is_taken_back = self.counts.status == RunStatus::Completed && resume.rollback && self.parent().is_some();
        let runs_again = !resume.again.is_empty() && self.counts.status != RunStatus::RolledBack;
        let may_resume = self.counts.status.can_resume() || is_taken_back || runs_again;
        if !may_resume || (backwards_only && !resume.rollback) {
            return Err(IllegalReason::Run { status: self.counts.status });
        }
        if let Some(plan) = &resume.plan {
            plan.check().map_err(IllegalReason::Plan)?;
            if let Some(change) = self.plan_changes(plan).into_iter().next() {
                return Err(IllegalReason::PlanChanged { change });
            }
        }
        if runs_again { self.check_again(resume) } else { Ok(()) }
    }

    /// Whether the steps that run again were reached, and all that comes after them runs again too.
    fn check_again(&self, resume: &RunResume) -> Verdict {
        if resume.rollback {
            return Err(IllegalReason::Rule { rule: "a run that goes back runs no step again" });
        }
        let plan = resume.plan.as_deref().unwrap_or(&self.plan);
        let is_reached = self.reached_in(plan);
        let (mut again, mut next) = (vec![false; plan.steps.len()], 0);
        for step in &resume.again {
            // Mostly they stand one after the other.
            let index = step.find_near(plan, [next]).ok_or(IllegalReason::UnknownStep)?;
            if !is_reached[index] {
                return Err(IllegalReason::Rule { rule: "only a step that began or is settled runs again" });
            }
            again[index] = true;
            next = index + 1;
        }
        let all = graph::with_later(plan, again.clone());
        match (0..all.len()).find(|&index| all[index] && is_reached[index] && !again[index]) {
            Some(left) => Err(IllegalReason::Unfinished { step: plan.steps[left].id.clone() }),
            None => Ok(()),
        }
    }

    fn check_run_end(&self, end: &RunEnd) -> Verdict {
        if self.counts.active > 0 {
            let running = self.steps.iter().position(super::StepState::is_active).unwrap_or_default();
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

    pub(crate) fn has_failed_undo(&self) -> bool {
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

    /// What is to be settled before the step, where anything is.
    pub(crate) fn blocker(&self, index: usize) -> Option<usize> {
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
        if end.reason == Some(Reason::Forked) {
            return self.check_forked(index, end);
        }
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

    /// A step that another run settled is settled here without an attempt.
    fn check_forked(&self, index: usize, end: &StepEnd) -> Verdict {
        let step = &self.steps[index];
        if step.status != StepStatus::Pending || step.attempts > 0 {
            return Err(IllegalReason::Step { status: step.status });
        }
        if !end.status.is_settled() || end.attempt != 0 {
            return Err(IllegalReason::Rule { rule: "what another run settled is completed or skipped here" });
        }
        self.check_turn(index)
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
            let builds_on_it = self.dependents.of(&self.plan, index);
            (0..self.steps.len()).filter(|&later| builds_on_it[later]).find(open)
        } else {
            (index + 1..self.steps.len()).find(open)
        }
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
}
