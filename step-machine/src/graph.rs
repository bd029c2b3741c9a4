//! What the steps of a plan wait for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::workflow::Plan;

/// For each step the positions of those that it waits for: its needs, or in a sequence the step before.
pub(crate) fn waits_for(plan: &Plan) -> Vec<Vec<usize>> {
    if !plan.parallel {
        return (0..plan.steps.len()).map(|index| index.checked_sub(1).into_iter().collect()).collect();
    }
    if plan.steps.iter().all(|step| step.needs.is_empty()) {
        return vec![Vec::new(); plan.steps.len()];
    }
    let places: HashMap<&str, usize> =
        plan.steps.iter().enumerate().map(|(index, step)| (step.id.as_str(), index)).collect();
    let find = |need: &String| places.get(need.as_str()).copied();
    plan.steps.iter().map(|step| step.needs.iter().filter_map(find).collect()).collect()
}

/// For each step whether it is the one at `first`, or waits for it, however far.
pub(crate) fn after(plan: &Plan, first: usize) -> Vec<bool> {
    let mut found = vec![false; plan.steps.len()];
    if let Some(found) = found.get_mut(first) {
        *found = true;
    }
    with_later(plan, found)
}

/// For each step whether it is one of those that are marked, or waits for one, however far.
pub(crate) fn with_later(plan: &Plan, mut marked: Vec<bool>) -> Vec<bool> {
    if !plan.parallel {
        if let Some(first) = marked.iter().position(|is_marked| *is_marked) {
            marked[first..].fill(true);
        }
        return marked;
    }
    let open = (0..marked.len()).filter(|&index| marked[index]).collect();
    spread(&waited_by(plan), marked, open)
}

/// For each step the positions of those that wait for it.
fn waited_by(plan: &Plan) -> Vec<Vec<usize>> {
    let waits_for = waits_for(plan);
    let mut waited_by = vec![Vec::new(); waits_for.len()];
    for (index, needs) in waits_for.iter().enumerate() {
        for &need in needs {
            waited_by[need].push(index);
        }
    }
    waited_by
}

/// Marks what waits for the steps that are open, however far.
fn spread(waited_by: &[Vec<usize>], mut marked: Vec<bool>, mut open: Vec<usize>) -> Vec<bool> {
    while let Some(index) = open.pop() {
        for &later in &waited_by[index] {
            if !std::mem::replace(&mut marked[later], true) {
                open.push(later);
            }
        }
    }
    marked
}

/// What waits for the steps of a plan, looked up when it is first asked for: a run that goes forward never does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dependents(OnceLock<Arc<[Vec<usize>]>>);

impl Dependents {
    /// For each step whether it waits for the one at `index` of `plan`, however far.
    pub(crate) fn of(&self, plan: &Plan, index: usize) -> Vec<bool> {
        let waited_by = self.0.get_or_init(|| waited_by(plan).into());
        spread(waited_by, vec![false; waited_by.len()], vec![index])
    }
}

impl PartialEq for Dependents {
    /// Follow from the plan, whether they were asked for yet or not.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// For each step whether a run that ends with the step at `last` comes to it.
#[cfg(feature = "runner")]
pub(crate) fn up_to(plan: &Plan, last: usize) -> Vec<bool> {
    let waits_for = waits_for(plan);
    let mut wanted = vec![false; waits_for.len()];
    let mut open = vec![last];
    while let Some(index) = open.pop() {
        if let Some(wanted) = wanted.get_mut(index).filter(|wanted| !**wanted) {
            *wanted = true;
            open.extend(&waits_for[index]);
        }
    }
    wanted
}
