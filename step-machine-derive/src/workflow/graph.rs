//! What steps need of each other.

use super::model::Workflow;
use crate::diagnostics::Diagnostics;
use crate::names;

/// Faults of `needs`: unknown, itself, twice, later in a sequence, around a circle.
pub(crate) fn check(workflow: &Workflow, faults: &mut Diagnostics) {
    for (index, step) in workflow.steps.iter().enumerate() {
        for (nth, need) in step.needs.iter().enumerate() {
            if let Some(message) = fault(workflow, index, nth) {
                faults.at(need, format!("step `{}`: {message}", step.ident));
            }
        }
    }
    if workflow.parallel
        && let Some(circle) = circle(workflow)
    {
        circle_fault(workflow, &circle, faults);
    }
}

fn fault(workflow: &Workflow, index: usize, nth: usize) -> Option<String> {
    let step = &workflow.steps[index];
    let need = &step.needs[nth];
    if step.needs[..nth].contains(need) {
        return Some(format!("`needs` names `{need}` twice; keep one of them"));
    }
    let Some(needed) = workflow.position(need) else {
        let idents: Vec<String> = workflow.steps.iter().map(|step| step.ident.to_string()).collect();
        let near = names::did_you_mean(&need.to_string(), idents.iter().map(String::as_str));
        return Some(format!("`needs` names `{need}`, which is no step of `{}`{near}", workflow.ident));
    };
    if needed == index {
        return Some("it needs itself; name steps that come before it, or remove this".to_owned());
    }
    if !workflow.parallel && needed > index {
        return Some(format!(
            "it needs `{need}`, which comes later; move `{need}` before it, or let steps run as soon as they can with `#[workflow(parallel)]`"
        ));
    }
    None
}

fn circle_fault(workflow: &Workflow, circle: &[usize], faults: &mut Diagnostics) {
    let name = |index: usize| format!("`{}`", workflow.steps[index].ident);
    let mut path: Vec<String> = circle.iter().map(|&index| name(index)).collect();
    path.push(name(circle[0]));
    let first = &workflow.steps[circle[0]];
    let second = &workflow.steps[circle[1]].ident;
    let Some(need) = first.needs.iter().find(|need| *need == second) else { return };
    faults.at(
        need,
        format!(
            "step `{}`: these steps need each other in a circle, so none of them could ever start: {}; remove one of these needs",
            first.ident,
            path.join(" needs ")
        ),
    );
}

/// The first circle of two steps or more, each needing the next. A step that needs itself is a fault of its own.
fn circle(workflow: &Workflow) -> Option<Vec<usize>> {
    let mut done = vec![false; workflow.steps.len()];
    for start in 0..workflow.steps.len() {
        let mut path = Vec::new();
        if let Some(circle) = walk(workflow, start, &mut path, &mut done) {
            return Some(circle);
        }
    }
    None
}

fn walk(workflow: &Workflow, index: usize, path: &mut Vec<usize>, done: &mut [bool]) -> Option<Vec<usize>> {
    if let Some(start) = path.iter().position(|&earlier| earlier == index) {
        return Some(path[start..].to_vec());
    }
    if done[index] {
        return None;
    }
    path.push(index);
    let step = &workflow.steps[index];
    for need in workflow.needs(step).into_iter().filter(|&need| need != index) {
        if let Some(circle) = walk(workflow, need, path, done) {
            return Some(circle);
        }
    }
    path.pop();
    done[index] = true;
    None
}
