//! Short runs that are told move by move.

use std::time::Duration;

use fastrand::Rng;

use super::generator::{Walk, event};
use super::moves::{Act, Move};
use crate::event::{Event, Kind, Reason, RunResume, RunStatus, StepStatus, UndoStatus};
use crate::state::IllegalReason;
use crate::workflow::{Plan, StepInfo};

pub(super) fn start(at: usize) -> Move {
    Move::Step(at, Act::Start { attempt: 1 })
}

pub(super) fn retry(at: usize) -> Move {
    Move::Step(at, Act::Retry { attempt: 1 })
}

pub(super) fn end(at: usize, status: StepStatus) -> Move {
    Move::Step(at, Act::End { status, reason: None, attempt: 1 })
}

pub(super) fn completed(at: usize) -> Move {
    end(at, StepStatus::Completed)
}

pub(super) fn failed(at: usize) -> Move {
    end(at, StepStatus::Failed)
}

/// A failure that does not stop the run.
pub(super) fn passed_over(at: usize) -> Move {
    Move::Step(at, Act::End { status: StepStatus::Skipped, reason: Some(Reason::Failed), attempt: 1 })
}

pub(super) fn skipped(at: usize) -> Move {
    Move::Step(at, Act::End { status: StepStatus::Skipped, reason: Some(Reason::Requested), attempt: 0 })
}

pub(super) fn undo(at: usize) -> Move {
    Move::Step(at, Act::UndoStart { attempt: 1 })
}

pub(super) fn undone(at: usize, status: UndoStatus) -> Move {
    Move::Step(at, Act::UndoEnd(status))
}

pub(super) fn resume(rollback: bool) -> Move {
    Move::Resume { rollback, edit: None }
}

pub(super) fn resume_with(plan: Plan, rollback: bool) -> Kind {
    Kind::RunResume(RunResume { rollback, plan: Some(plan.into()), again: Vec::new(), parent_attempt: None })
}

pub(super) fn over(status: RunStatus) -> Move {
    Move::EndRun(status)
}

/// `render` (undo) → `apply` (undo, skippable) → `report` (not critical, no undo).
pub(super) fn chain() -> Plan {
    let step = |id: &str, undo, skippable, critical| {
        let mut step = StepInfo::new(id, id);
        (step.undo, step.skippable, step.critical) = (undo, skippable, critical);
        step
    };
    Plan::new(
        "walk",
        [step("render", true, false, true), step("apply", true, true, true), step("report", false, false, false)],
    )
}

/// The same steps side by side, but `report` needs `apply`, which needs `render`, and `notify` needs nothing.
pub(super) fn parallel() -> Plan {
    let mut plan = chain();
    plan.parallel = true;
    plan.steps[1].needs = vec!["render".to_owned()];
    plan.steps[2].needs = vec!["apply".to_owned()];
    plan.steps.push(StepInfo::new("notify", "notify"));
    plan
}

/// A run that has come this far.
pub(super) fn run<const N: usize>(plan: Plan, moves: [Move; N]) -> Walk {
    let mut walk = Walk::begin(plan, 0);
    for next in moves {
        walk.make(&next, &mut Rng::with_seed(7)).unwrap();
    }
    walk
}

impl Walk {
    /// Asserts that `next` is refused for `reason` and that nothing changes.
    #[track_caller]
    pub(super) fn refuses(&self, next: &Move, reason: IllegalReason) {
        self.refuses_event(&self.event(next, &mut Rng::with_seed(7)), reason);
    }

    #[track_caller]
    pub(super) fn refuses_kind(&self, kind: Kind, reason: IllegalReason) {
        self.refuses_event(&event(self.state.seq() + 1, self.state.elapsed(), kind), reason);
    }

    #[track_caller]
    pub(super) fn refuses_event(&self, event: &Event, reason: IllegalReason) {
        let mut state = self.state.clone();
        let illegal = state.advance(event).unwrap_err();
        assert_eq!(illegal.reason, reason);
        assert_eq!((illegal.seq, illegal.event), (event.seq, event.event_type()));
        assert_eq!(illegal.step.as_deref(), event.step());
        assert_eq!(state, self.state);
    }

    /// Makes one more move, which is legal, some time later.
    pub(super) fn then(mut self, next: &Move) -> Self {
        self.make(next, &mut Rng::with_seed(7)).unwrap();
        self
    }

    /// The next event, this much later.
    pub(super) fn later(&self, next: &Move, span: Duration) -> Event {
        let kind = next.kind(&self.model, &mut Rng::with_seed(7));
        event(self.state.seq() + 1, self.state.elapsed() + span, kind)
    }
}
