//! A second rule book, written from the rules and not from the code under test: no counters, no short cuts, every
//! question answered by looking at all steps.

use super::edit::Edit;
use super::model::{Life, Model};
use super::moves::{Act, Move};
use crate::event::{Reason, RunStatus, StepStatus, TaskStatus, UndoStatus};
use crate::state::{IllegalReason, Undo};

/// Nothing, or the answers of which any one is right.
pub(super) type Verdict = Result<(), Vec<IllegalReason>>;

fn ensure(holds: bool, or: IllegalReason) -> Verdict {
    if holds { Ok(()) } else { Err(vec![or]) }
}

fn rule(holds: bool, rule: &'static str) -> Verdict {
    ensure(holds, IllegalReason::Rule { rule })
}

impl Model {
    /// What the rules say to `next`.
    pub(super) fn judge(&self, next: &Move) -> Verdict {
        match next {
            Move::Unknown => Ok(()),
            Move::StartAgain => Err(vec![IllegalReason::AlreadyStarted]),
            Move::Resume { rollback, edit } => self.judge_resume(*rollback, edit.as_ref()),
            Move::Again { from, without } => self.judge_again(*from, *without),
            Move::EndRun(status) => self.judge_end(*status),
            Move::Step(at, act) => self.judge_act(*at, *act),
        }
    }

    fn judge_resume(&self, rollback: bool, edit: Option<&Edit>) -> Verdict {
        let allowed = !self.is_over() && (rollback || !self.is_backward());
        ensure(allowed, IllegalReason::Run { status: self.run })?;
        edit.map_or(Ok(()), |edit| edit.judge(self))
    }

    /// Also a completed run may do some of it again, but not one step without those that come after it.
    fn judge_again(&self, from: usize, without: Option<usize>) -> Verdict {
        let again: Vec<usize> = self.again(from, without).collect();
        if again.is_empty() {
            return self.judge_resume(false, None);
        }
        ensure(self.run != RunStatus::RolledBack && !self.is_backward(), IllegalReason::Run { status: self.run })?;
        let left = without.filter(|left| self.lives[*left].is_reached());
        let left = left.filter(|left| again.iter().any(|at| self.builds_on(*left, *at)));
        left.map_or(Ok(()), |left| Err(vec![IllegalReason::Unfinished { step: self.id(left) }]))
    }

    fn judge_end(&self, status: RunStatus) -> Verdict {
        if let Some(at) = self.all().find(|&at| self.lives[at].is_active()) {
            return Err(vec![IllegalReason::StillRunning { step: self.id(at) }]);
        }
        rule(status.has_ended(), "a run that goes on has no end")?;
        let backward = matches!(status, RunStatus::RolledBack | RunStatus::Stuck);
        let from = if backward { RunStatus::RollingBack } else { RunStatus::Running };
        ensure(self.run == from, IllegalReason::Run { status: self.run })?;
        let left = match status {
            RunStatus::Completed => self.all().find(|&at| !self.lives[at].is_settled()),
            RunStatus::RolledBack => self.all().find(|&at| self.wants_undo(at)),
            RunStatus::Stuck => {
                let failed = |life: &Life| life.undo == Undo::Ended(UndoStatus::UndoFailed);
                let any = self.lives.iter().any(failed);
                return rule(any, "a run is stuck only when an undo failed");
            }
            _ => None,
        };
        left.map_or(Ok(()), |at| Err(vec![IllegalReason::Unfinished { step: self.id(at) }]))
    }

    fn judge_act(&self, at: usize, act: Act) -> Verdict {
        let life = &self.lives[at];
        let status = IllegalReason::Step { status: life.status };
        match act {
            Act::Start { attempt } => {
                self.judge_forward()?;
                let retried = life.status == StepStatus::Running && life.waiting;
                ensure(life.status == StepStatus::Pending || retried, status)?;
                judge_attempt(attempt, life.attempts + 1)?;
                self.judge_turn(at)
            }
            Act::End { status: StepStatus::Skipped, reason, .. } if reason != Some(Reason::Failed) => {
                self.judge_forward()?;
                ensure(life.status == StepStatus::Pending, status)?;
                let skippable = self.plan.steps[at].skippable;
                rule(skippable, "only a skippable step may be skipped on purpose")?;
                self.judge_turn(at)
            }
            Act::End { status: end, attempt, .. } => {
                self.judge_forward()?;
                let too_soon = life.waiting && end == StepStatus::Completed;
                ensure(life.status == StepStatus::Running && !too_soon, status)?;
                judge_attempt(attempt, life.attempts)?;
                judge_ending(end, self.plan.steps[at].critical)
            }
            Act::Retry { attempt } => {
                ensure(life.is_active() && !life.waiting, status)?;
                let undoing = life.undo == Undo::Running;
                judge_attempt(attempt, if undoing { life.undo_attempts } else { life.attempts })
            }
            Act::UndoStart { attempt } => {
                self.judge_backward()?;
                rule(self.plan.steps[at].undo, "the step declares no undo")?;
                let again = life.undo == Undo::Running && life.waiting;
                let open = matches!(life.undo, Undo::None | Undo::Ended(UndoStatus::UndoFailed));
                ensure(life.attempts > 0 && (again || open), status)?;
                judge_attempt(attempt, life.undo_attempts + 1)?;
                self.judge_undo_turn(at)
            }
            Act::UndoEnd(UndoStatus::Skipped) => {
                self.judge_backward()?;
                ensure(self.wants_undo(at) && life.undo != Undo::Running, status)
            }
            Act::UndoEnd(end) => {
                let too_soon = life.waiting && end == UndoStatus::Undone;
                ensure(life.undo == Undo::Running && !too_soon, status)
            }
            Act::Update(_) | Act::Line | Act::Stalled | Act::TaskStart(_) | Act::TaskUpdate(..) | Act::TaskEnd(..) => {
                ensure(life.is_active(), status)?;
                judge_news(life, act)
            }
        }
    }

    fn judge_forward(&self) -> Verdict {
        ensure(self.run == RunStatus::Running, IllegalReason::Run { status: self.run })
    }

    fn judge_backward(&self) -> Verdict {
        let stopped = self.run == RunStatus::Running && self.stopper().is_some();
        let allowed = stopped || self.run == RunStatus::RollingBack;
        ensure(allowed, IllegalReason::Run { status: self.run })?;
        match self.all().find(|&at| self.lives[at].status == StepStatus::Running) {
            Some(at) => Err(vec![IllegalReason::StillRunning { step: self.id(at) }]),
            None => Ok(()),
        }
    }

    fn judge_turn(&self, at: usize) -> Verdict {
        if let Some(stopper) = self.stopper() {
            return Err(vec![IllegalReason::Halted { step: self.id(stopper) }]);
        }
        let needs = &self.plan.steps[at].needs;
        let mut before: Vec<usize> = if self.plan.parallel {
            needs.iter().filter_map(|id| self.plan.position(id)).collect()
        } else {
            (0..at).collect()
        };
        before.retain(|&earlier| !self.lives[earlier].is_settled());
        before.first().map_or(Ok(()), |&first| Err(vec![IllegalReason::TooEarly { before: self.id(first) }]))
    }

    fn judge_undo_turn(&self, at: usize) -> Verdict {
        let tried = |at: usize| self.lives[at].undo == Undo::Ended(UndoStatus::UndoFailed);
        let first: Vec<_> = self
            .all()
            .filter(|&later| self.builds_on(later, at) && self.wants_undo(later) && !tried(later))
            .map(|later| IllegalReason::TooEarly { before: self.id(later) })
            .collect();
        if first.is_empty() { Ok(()) } else { Err(first) }
    }
}

fn judge_attempt(found: u32, expected: u32) -> Verdict {
    ensure(found == expected, IllegalReason::Attempt { expected })
}

fn judge_ending(status: StepStatus, critical: bool) -> Verdict {
    match status {
        StepStatus::Completed | StepStatus::Cancelled => Ok(()),
        StepStatus::Failed => rule(critical, "a non-critical step that fails ends as skipped"),
        StepStatus::Skipped => rule(!critical, "a critical step that fails ends as failed"),
        _ => rule(false, "a step ends as completed, failed, skipped or cancelled"),
    }
}

fn judge_news(life: &Life, act: Act) -> Verdict {
    if let Act::Update(Some(fraction)) | Act::TaskUpdate(_, Some(fraction)) = act {
        let within = (0.0..=1.0).contains(&fraction);
        ensure(within, IllegalReason::Fraction { fraction })?;
    }
    let runs = |task: u8| life.tasks.get(&task).is_some_and(|(status, _)| *status == TaskStatus::Running);
    let refused = |task: u8, problem| IllegalReason::Task { task: task.to_string(), problem };
    match act {
        Act::TaskStart(task) => ensure(!life.tasks.contains_key(&task), refused(task, "was added before")),
        Act::TaskUpdate(task, _) => ensure(runs(task), refused(task, "is not running")),
        Act::TaskEnd(task, status) => {
            ensure(runs(task), refused(task, "is not running"))?;
            rule(status != TaskStatus::Running, "a task ends as completed or failed")
        }
        _ => Ok(()),
    }
}
