//! Carrying a run over to a plan that changed since it began.

use std::fmt;

use super::{RunState, StepState, TotalWeight};
use crate::event::{Reason, StepRef, StepStatus};
use crate::graph::{self, Dependents};
use crate::plan_diff::{origin, successor};
use crate::workflow::{Plan, SharedPlan};

/// One way in which a plan does not fit a run that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanChange {
    /// A step that began is gone.
    Lost {
        /// The id of the step.
        step: String,
    },
    /// Two steps that began have changed places.
    Reordered {
        /// The step that came first.
        first: String,
        /// The step that comes first now.
        second: String,
    },
    /// A step comes before one that is settled already.
    Inserted {
        /// The step that is new, or was moved.
        step: String,
        /// The settled step that it would have to run before.
        before: String,
    },
}

impl fmt::Display for PlanChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { step } => {
                write!(f, "step `{step}` is gone (if it was renamed, give it `alias = \"{step}\"`)")
            }
            Self::Reordered { first, second } => write!(f, "step `{second}` now comes before `{first}`"),
            Self::Inserted { step, before } => {
                write!(f, "step `{step}` now comes before `{before}`, which is settled")
            }
        }
    }
}

/// How many steps are settled, and their weight.
fn settled(steps: &[StepState], plan: &Plan) -> (usize, f64) {
    let settled = || steps.iter().zip(&plan.steps).filter(|(step, _)| step.status.is_settled());
    (settled().count(), settled().map(|(_, info)| info.weight).sum())
}

impl RunState {
    /// For each step whether it is the one at `from`, or comes after it or needs it.
    pub(crate) fn after(&self, from: usize) -> Vec<bool> {
        graph::after(&self.plan, from)
    }

    /// The steps that began, or are settled without, and run again where the one at `from` of `plan` does.
    pub(crate) fn to_run_again(&self, plan: &Plan, from: usize) -> Vec<StepRef> {
        self.reached_where(plan, graph::after(plan, from))
    }

    /// All steps that began, or are settled without, as steps of `plan`.
    #[cfg(feature = "runner")]
    pub(crate) fn all_to_run_again(&self, plan: &Plan) -> Vec<StepRef> {
        self.reached_where(plan, std::iter::repeat(true))
    }

    fn reached_where(&self, plan: &Plan, wanted: impl IntoIterator<Item = bool>) -> Vec<StepRef> {
        let steps = plan.steps.iter().zip(self.reached_in(plan)).zip(wanted);
        steps
            .filter(|((_, is_reached), is_wanted)| *is_reached && *is_wanted)
            .map(|((step, _), _)| StepRef::new(step.id.clone()))
            .collect()
    }

    /// For each step of `plan` whether anything was decided about it.
    pub(super) fn reached_in(&self, plan: &Plan) -> Vec<bool> {
        let is_reached = |at| self.origin(plan, at).is_some_and(|index| self.steps[index].is_reached());
        (0..plan.steps.len()).map(is_reached).collect()
    }

    /// Lets steps run again from the start.
    pub(super) fn forget(&mut self, again: &[StepRef]) {
        if again.is_empty() {
            return;
        }
        let mut next = 0;
        for step in again {
            // Mostly they stand one after the other.
            if let Some(index) = step.find_near(&self.plan, [next]) {
                self.steps[index].run_again();
                next = index + 1;
            }
        }
        (self.counts.settled, self.counts.settled_weight) = settled(&self.steps, &self.plan);
        self.counts.warnings = self.steps.iter().filter(|step| step.reason == Some(Reason::Failed)).count();
    }

    /// How `plan` does not fit this run; empty where it does.
    ///
    /// Steps that have not been reached may come, go and change; rules may change; a step that was renamed is found by
    /// its alias.
    pub fn plan_changes(&self, plan: &Plan) -> Vec<PlanChange> {
        let mut changes = Vec::new();
        let mut last: Option<(usize, &str)> = None;
        for index in (0..self.steps.len()).filter(|&index| self.steps[index].is_reached()) {
            let info = &self.plan.steps[index];
            let Some(at) = successor(&self.plan, index, plan) else {
                changes.push(PlanChange::Lost { step: info.id.clone() });
                continue;
            };
            if plan.parallel {
                continue;
            }
            match last {
                Some((before, first)) if at < before => {
                    changes.push(PlanChange::Reordered { first: first.to_owned(), second: info.id.clone() });
                }
                _ => last = Some((at, &info.id)),
            }
        }
        if !plan.parallel {
            changes.extend(self.inserted(plan));
        }
        changes
    }

    /// Steps of a sequential plan that are still to run but come before the last settled one.
    fn inserted(&self, plan: &Plan) -> Vec<PlanChange> {
        let state = |at| self.origin(plan, at).map(|index| &self.steps[index]);
        let settled = |&at: &usize| state(at).is_some_and(|state| state.status.is_settled());
        let Some(last) = (0..plan.steps.len()).rfind(settled) else {
            return Vec::new();
        };
        // A step that began in a sequential run is told of as reordered; one that was undone never runs again.
        let left = |state: &StepState| match state.status {
            StepStatus::Pending | StepStatus::Running | StepStatus::Failed | StepStatus::Cancelled => {
                self.plan.parallel || !state.is_reached()
            }
            StepStatus::Completed | StepStatus::Skipped | StepStatus::Undone | StepStatus::UndoFailed => false,
        };
        let id = |at: usize| plan.steps[at].id.clone();
        (0..last)
            .filter(|&at| state(at).is_none_or(left))
            .map(|at| PlanChange::Inserted { step: id(at), before: id(last) })
            .collect()
    }

    /// Where the step at `at` of a new plan stands in this run's plan, whatever it was called there.
    fn origin(&self, plan: &Plan, at: usize) -> Option<usize> {
        origin(&self.plan, plan, at)
    }

    /// Holds `plan` in place of the one that says the same, and changes nothing else.
    pub(crate) fn take_same_plan(&mut self, plan: SharedPlan) {
        self.plan = plan;
    }

    /// The same run under `plan`, which [`plan_changes`](Self::plan_changes) has found to fit.
    pub(crate) fn rebase(&mut self, plan: SharedPlan) {
        let state = |at| self.origin(&plan, at).map(|index| self.steps[index].clone()).unwrap_or_default();
        let steps: Vec<StepState> = (0..plan.steps.len()).map(state).collect();
        let share = self.share();
        (self.counts.settled, self.counts.settled_weight) = settled(&steps, &plan);
        self.total_weight = TotalWeight::default();
        self.dependents = Dependents::default();
        // Progress never falls, also where the new plan has more to do.
        self.counts.reached_weight = self.counts.settled_weight.max(share * self.total_weight.of(&plan));
        self.counts.current = self.counts.current.and_then(|index| plan.position(&self.plan.steps[index].id));
        self.steps = steps;
        self.plan = plan;
        // The product is rounded, and its share of the new total may be the hair lower that a percentage shows.
        while self.share() < share {
            self.counts.reached_weight = self.counts.reached_weight.next_up();
        }
    }
}
