//! Carrying a run over to a plan that changed since it began.

use std::borrow::Cow;
use std::fmt;

use super::{RunState, StepState, TotalWeight};
use crate::event::StepStatus;
use crate::workflow::Plan;

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
        /// The new step.
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

impl RunState {
    /// How `plan` does not fit this run; empty where it does.
    ///
    /// Steps that have not been reached may come, go and change; rules may change; a step that was renamed is found by
    /// its alias.
    pub fn plan_changes(&self, plan: &Plan) -> Vec<PlanChange> {
        let mut changes = Vec::new();
        let mut last: Option<(usize, &str)> = None;
        let begun = self
            .steps
            .iter()
            .zip(&self.plan.steps)
            .filter(|(step, _)| step.status != StepStatus::Pending || step.has_begun());
        for (_, info) in begun {
            let Some(at) = plan.position(&info.id) else {
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

    /// New steps of a sequential plan before the last settled one: they could never run.
    fn inserted(&self, plan: &Plan) -> Vec<PlanChange> {
        let settled = |id: &str| self.state_of(plan, id).is_some_and(|step| step.status.is_settled());
        let Some(last) = plan.steps.iter().rposition(|step| settled(&step.id)) else {
            return Vec::new();
        };
        plan.steps[..last]
            .iter()
            .filter(|step| self.state_of(plan, &step.id).is_none())
            .map(|step| PlanChange::Inserted { step: step.id.clone(), before: plan.steps[last].id.clone() })
            .collect()
    }

    /// The state of the step that `plan` calls `id`, whatever it was called before.
    fn state_of(&self, plan: &Plan, id: &str) -> Option<&StepState> {
        let info = plan.step(id)?;
        std::iter::once(&info.id)
            .chain(&info.aliases)
            .find_map(|id| self.plan.steps.iter().position(|step| step.id == *id))
            .map(|index| &self.steps[index])
    }

    /// The same run under `plan`, which [`plan_changes`](Self::plan_changes) has found to fit.
    pub(crate) fn rebase(&mut self, plan: Cow<'static, Plan>) {
        let steps: Vec<StepState> =
            plan.steps.iter().map(|info| self.state_of(&plan, &info.id).cloned().unwrap_or_default()).collect();
        let share = self.share();
        let settled = || steps.iter().zip(&plan.steps).filter(|(step, _)| step.status.is_settled());
        self.counts.settled = settled().count();
        self.counts.settled_weight = settled().map(|(_, info)| info.weight).sum();
        self.total_weight = TotalWeight::default();
        // Progress never falls, also where the new plan has more to do.
        self.counts.reached_weight = self.counts.settled_weight.max(share * self.total_weight.of(&plan));
        self.counts.current = self.counts.current.and_then(|index| plan.position(&self.plan.steps[index].id));
        self.steps = steps;
        self.plan = plan;
    }
}
