//! Ways in which a plan changes between two lives of a run.

use fastrand::Rng;

use super::model::Model;
use super::rules::Verdict;
use crate::event::StepStatus;
use crate::state::{IllegalReason, PlanChange};
use crate::workflow::{Plan, StepInfo};

/// One change of a plan. Positions are those in the old plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Edit {
    /// A new step comes at this position.
    Insert(usize),
    Drop(usize),
    /// A step gets a new id and keeps its old one as an alias.
    Rename(usize),
    /// A step changes places with the next one.
    Swap(usize),
    Weigh(usize),
    /// A step needs another one.
    Need(usize, usize),
    /// A parallel plan becomes sequential, or the other way round.
    Turn,
}

impl Edit {
    /// One of each, at positions that are drawn; only such that leave a plan that a workflow could declare.
    pub(super) fn all(model: &Model, random: &mut Rng) -> Vec<Self> {
        let count = model.plan.steps.len();
        let mut edits = vec![Self::Insert(count), Self::Insert(random.usize(..=count)), Self::Turn];
        if count == 0 {
            return edits;
        }
        let at = random.usize(..count);
        edits.extend([Self::Rename(at), Self::Weigh(at), Self::Drop(at)]);
        if at + 1 < count {
            edits.push(Self::Swap(at));
        }
        let need = random.usize(..count);
        if model.plan.parallel && need != at && !model.builds_on(need, at) {
            edits.push(Self::Need(at, need));
        }
        edits
    }

    /// The new plan, and where each of its steps stood in the old one.
    pub(super) fn edited(&self, old: &Plan) -> (Plan, Vec<Option<usize>>) {
        let mut plan = old.clone();
        let mut origins: Vec<_> = (0..plan.steps.len()).map(Some).collect();
        match *self {
            Self::Insert(at) => {
                let mut step = StepInfo::new(fresh(old), "Inserted");
                step.undo = true;
                step.weight = 3.5;
                plan.steps.insert(at, step);
                origins.insert(at, None);
            }
            Self::Drop(at) => {
                let gone = plan.steps.remove(at).id;
                plan.steps.iter_mut().for_each(|step| step.needs.retain(|need| *need != gone));
                origins.remove(at);
            }
            Self::Rename(at) => {
                let id = fresh(old);
                let before = std::mem::replace(&mut plan.steps[at].id, id.clone());
                for need in plan.steps.iter_mut().flat_map(|step| &mut step.needs) {
                    if *need == before {
                        need.clone_from(&id);
                    }
                }
                plan.steps[at].aliases.push(before);
            }
            Self::Swap(at) => {
                plan.steps.swap(at, at + 1);
                origins.swap(at, at + 1);
            }
            Self::Weigh(at) => plan.steps[at].weight *= 2.0,
            Self::Need(at, need) => {
                let need = plan.steps[need].id.clone();
                plan.steps[at].needs.push(need);
            }
            Self::Turn => plan.parallel = !plan.parallel,
        }
        (plan, origins)
    }

    /// Whether a run that stands like `model` may go on with the new plan.
    pub(super) fn judge(&self, model: &Model) -> Verdict {
        let (plan, origins) = self.edited(&model.plan);
        let mut found = Vec::new();
        let now = |old: usize| origins.iter().position(|&origin| origin == Some(old));
        let reached: Vec<_> = (0..model.lives.len()).filter(|&old| model.lives[old].is_reached()).collect();
        let id = |old: usize| model.plan.steps[old].id.clone();
        for &old in reached.iter().filter(|&&old| now(old).is_none()) {
            found.push(PlanChange::Lost { step: id(old) });
        }
        if !plan.parallel {
            for &second in reached.iter().filter(|&&old| now(old).is_some()) {
                let passed = reached.iter().filter(|&&first| first < second && now(first) > now(second));
                found.extend(passed.map(|&first| PlanChange::Reordered { first: id(first), second: id(second) }));
            }
            let settled = |origin: &Option<usize>| origin.is_some_and(|old| model.lives[old].is_settled());
            let last = origins.iter().rposition(settled).unwrap_or(0);
            let undone = |old: usize| matches!(model.lives[old].status, StepStatus::Undone | StepStatus::UndoFailed);
            let left = |origin: &Option<usize>| !settled(origin) && !origin.is_some_and(undone);
            for (at, _) in origins[..last].iter().enumerate().filter(|(_, origin)| left(origin)) {
                let (step, before) = (plan.steps[at].id.clone(), plan.steps[last].id.clone());
                found.push(PlanChange::Inserted { step, before });
            }
        }
        let refused: Vec<_> = found.into_iter().map(|change| IllegalReason::PlanChanged { change }).collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }
}

/// An id that no step of the plan has or had.
fn fresh(plan: &Plan) -> String {
    let known = |id: &String| plan.position(id).is_some();
    (0..u32::MAX).map(|number| format!("new-{number}")).find(|id| !known(id)).unwrap()
}
