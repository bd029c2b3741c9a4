//! The comparison itself.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{PlanDiff, PlanDifference};
use crate::workflow::{Plan, StepInfo};

/// Where the step at `at` of a newer plan stands in `old`, whatever it was called there.
pub(crate) fn origin(old: &Plan, new: &Plan, at: usize) -> Option<usize> {
    let step = &new.steps[at];
    // Most steps stand where they stood: a plan of a thousand is not to be searched a thousand times.
    if old.steps.get(at).is_some_and(|known| known.id == step.id) {
        return Some(at);
    }
    std::iter::once(&step.id).chain(&step.aliases).find_map(|id| old.steps.iter().position(|known| known.id == *id))
}

/// Where a step of `old` stands in `new`, whatever it is called there.
pub(crate) fn successor(old: &Plan, index: usize, new: &Plan) -> Option<usize> {
    // A step that stands for another one cannot stand for this one too.
    let own = |&at: &usize| origin(old, new, at) == Some(index);
    let id = &old.steps[index].id;
    let stays = new.steps.get(index).is_some_and(|step| step.id == *id);
    stays.then_some(index).or_else(|| new.position(id)).filter(own)
}

/// The two plans, and where the steps of the older one went.
struct Pair<'a> {
    old: &'a Plan,
    new: &'a Plan,
    successors: Vec<Option<usize>>,
    found: Vec<PlanDifference>,
}

pub(super) fn differences(old: &Plan, new: &Plan) -> Vec<PlanDifference> {
    let successors = (0..old.steps.len()).map(|index| successor(old, index, new)).collect();
    let mut pair = Pair { old, new, successors, found: Vec::new() };
    if old.workflow != new.workflow {
        let (old, new) = (old.workflow.clone(), new.workflow.clone());
        pair.found.push(PlanDifference::Workflow { old, new });
    }
    if old.parallel && !new.parallel && old.steps.len() > 1 {
        pair.found.push(PlanDifference::Sequential);
    }
    pair.names();
    pair.order();
    pair.added();
    pair.rules();
    pair.found
}

impl Pair<'_> {
    /// The steps that both plans have: the older one, and the newer one.
    fn kept(&self) -> Vec<(&StepInfo, &StepInfo)> {
        let both = |(old, at): (_, &Option<usize>)| at.map(|at| (old, &self.new.steps[at]));
        self.old.steps.iter().zip(&self.successors).filter_map(both).collect()
    }

    fn names(&mut self) {
        let mut found = Vec::new();
        for (old, at) in self.old.steps.iter().zip(&self.successors) {
            match at {
                Some(at) => names(old, &self.new.steps[*at], &mut found),
                None => found.push(PlanDifference::Lost { step: old.id.clone() }),
            }
        }
        self.found.append(&mut found);
    }

    fn order(&mut self) {
        let mut last: Option<(usize, &str)> = None;
        for (old, at) in self.old.steps.iter().zip(&self.successors) {
            let Some(at) = *at else { continue };
            match last {
                _ if self.new.parallel => {}
                Some((before, first)) if at < before => {
                    let (first, second) = (first.to_owned(), old.id.clone());
                    self.found.push(PlanDifference::Reordered { first, second });
                }
                _ => last = Some((at, &old.id)),
            }
        }
    }

    fn added(&mut self) {
        let is_old = |&at: &usize| origin(self.old, self.new, at).is_some();
        let (count, id) = (self.new.steps.len(), |at: usize| self.new.steps[at].id.clone());
        for at in (0..count).filter(|at| !is_old(at)) {
            let before = (at..count).find(is_old).filter(|_| !self.new.parallel).map(id);
            self.found.push(PlanDifference::Added { step: id(at), before });
        }
    }

    fn rules(&mut self) {
        let mut found = Vec::new();
        let fields = |plan| fields(plan, &["workflow", "steps"]);
        for (rule, old, new) in changed(fields(self.old), fields(self.new)) {
            found.push(PlanDifference::PlanRule { rule, old, new });
        }
        for (old, new) in self.kept() {
            let mut before = fields_of_step(old);
            if let Some(needs) = before.get_mut("needs") {
                *needs = self.newer(&old.needs).into();
            }
            for (rule, old, value) in changed(before, fields_of_step(new)) {
                found.push(PlanDifference::Rule { step: new.id.clone(), rule, old, new: value });
            }
            if loses_output(old, new) {
                found.push(PlanDifference::OutputMissing { step: new.id.clone() });
            }
            found.extend(nested(old, new));
        }
        self.found.append(&mut found);
    }

    /// Ids as they are now, where the steps are still there.
    fn newer(&self, ids: &[String]) -> Vec<String> {
        let newer = |id: &String| {
            let at = self.old.position(id).and_then(|index| self.successors[index]);
            at.map_or_else(|| id.clone(), |at| self.new.steps[at].id.clone())
        };
        ids.iter().map(newer).collect()
    }
}

/// What changed in the ids of a step.
fn names(old: &StepInfo, new: &StepInfo, found: &mut Vec<PlanDifference>) {
    let step = || new.id.clone();
    if old.id != new.id {
        found.push(PlanDifference::Renamed { old: old.id.clone(), new: step() });
    }
    let mut is_found = true;
    for alias in old.aliases.iter().filter(|&alias| *alias != new.id && !new.aliases.contains(alias)) {
        found.push(PlanDifference::AliasLost { step: step(), alias: alias.clone() });
        is_found = false;
    }
    for alias in new.aliases.iter().filter(|&alias| *alias != old.id && !old.aliases.contains(alias)) {
        found.push(PlanDifference::AliasAdded { step: step(), alias: alias.clone() });
    }
    let (first, now) = (old.first_id(), new.first_id());
    // Where an alias is gone, it is said already what to do.
    if is_found && first != now {
        found.push(PlanDifference::FirstId { step: step(), old: first.to_owned(), new: now.to_owned() });
    }
}

/// Whether a run may have settled the older step without the output that the newer one has to have.
fn loses_output(old: &StepInfo, new: &StepInfo) -> bool {
    let may_lack = |step: &StepInfo| step.skippable || !step.critical;
    new.output && (!old.output || (may_lack(old) && !may_lack(new)))
}

/// What changed inside of a step.
fn nested(old: &StepInfo, new: &StepInfo) -> Option<PlanDifference> {
    let step = new.id.clone();
    match (&old.nested, &new.nested) {
        (None, None) => None,
        (None, Some(now)) => Some(PlanDifference::NestedAdded { step, workflow: now.workflow.clone() }),
        (Some(before), None) => Some(PlanDifference::NestedLost { step, workflow: before.workflow.clone() }),
        (Some(before), Some(now)) => {
            let diff = PlanDiff::between(before, now);
            (!diff.is_empty()).then_some(PlanDifference::Nested { step, diff })
        }
    }
}

fn fields_of_step(step: &StepInfo) -> Map<String, Value> {
    fields(step, &["id", "aliases", "nested"])
}

/// The JSON of a plan or a step without what is compared by itself. So a rule that is added later is compared too.
fn fields(described: &impl Serialize, without: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(described) else { return Map::new() };
    fields.retain(|name, _| !without.contains(&name.as_str()));
    fields
}

/// The fields that differ, with both values.
fn changed(mut old: Map<String, Value>, new: Map<String, Value>) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    for (name, now) in new {
        match (old.remove(&name).unwrap_or_default(), now) {
            (before, now) if before == now => {}
            (Value::Object(before), Value::Object(now)) => {
                let inner = changed(before, now).into_iter();
                found.extend(inner.map(|(field, before, now)| (format!("{name}.{field}"), before, now)));
            }
            (before, now) => found.push((name, before, now)),
        }
    }
    found.extend(old.into_iter().map(|(name, before)| (name, before, Value::Null)));
    found
}
