//! No step waits for longer than it has to.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::Ran;
use super::actor::{Note, Part};
use super::oracle::builds_on;
use crate::event::StepStatus;

/// Each step begins as soon as all that it needs is settled and there is room for it.
pub(super) fn check(ran: &Ran) -> TestCaseResult {
    let state = ran.folded();
    let stopped = state.steps().iter().any(|step| {
        let status = step.before_undo().unwrap_or(step.status());
        matches!(status, StepStatus::Failed | StepStatus::Cancelled)
    });
    // Where a step that is skipped by a setting leaves no note there is nothing to measure by; such runs pass.
    if !ran.scene.plan.parallel || stopped || !ran.scene.rules.skips.is_empty() {
        return Ok(());
    }
    let spans: Vec<_> = (0..state.steps().len()).map(|step| span(ran, step)).collect();
    for (step, span) in spans.iter().enumerate() {
        let Some((begun, _)) = span else { continue };
        let needs = (0..spans.len()).filter(|&need| builds_on(&ran.scene, step, need));
        let ready = needs.filter_map(|need| spans[need]).map(|(_, ended)| ended).max().unwrap_or(0);
        for moment in ready..*begun {
            let busy = spans.iter().flatten().filter(|(begun, ended)| *begun <= moment && moment < *ended).count();
            let most = ran.scene.rules.max_parallel.unwrap_or(usize::MAX);
            prop_assert!(busy >= most, "{step} was ready at {ready}, there was room at {moment}, it began at {begun}");
        }
    }
    Ok(())
}

/// From when to when a step is under way, the waits between its attempts included.
fn span(ran: &Ran, step: usize) -> Option<(u128, u128)> {
    let of_step = |note: &&Note| note.step == step && note.part != Part::Undo;
    let notes: Vec<_> = ran.notes.iter().filter(of_step).collect();
    Some((notes.first()?.at, notes.last()?.at))
}
