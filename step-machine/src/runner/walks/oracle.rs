//! What a run has to do that is left alone: told from what its bodies do, without the engine.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::actor::{Part, What};
use super::scene::{Act, Pause, Scene, Skip};
use super::{End, Ran};
use crate::event::RunStatus;
use crate::policy::OnFailure;

/// How a step ends when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Completes,
    IsSkipped,
    Fails,
}

/// How a step ends, and after how many calls of its body.
pub(super) fn fate(scene: &Scene, step: usize) -> (Fate, u32) {
    if scene.plan.steps[step].skippable {
        if scene.rules.skips.contains(&step) {
            return (Fate::IsSkipped, 0);
        }
        match scene.conducts[step].skip.1 {
            Skip::No => {}
            Skip::Yes => return (Fate::IsSkipped, 0),
            Skip::Error | Skip::Panic => return (Fate::Fails, 0),
        }
    }
    let (is_done, calls) = tries(scene, step, false);
    (if is_done { Fate::Completes } else { Fate::Fails }, calls)
}

/// Whether the attempts at a step, or at undoing it, come to a good end, and how many there are.
pub(super) fn tries(scene: &Scene, step: usize, undo: bool) -> (bool, u32) {
    let most = scene.plan.steps[step].retry.map_or(1, |retry| retry.attempts);
    for nth in 1..=most {
        match outcome(scene, step, undo, nth) {
            Act::Ok => return (true, nth),
            Act::Fatal | Act::Panic => return (false, nth),
            Act::Error | Act::Hang => {}
        }
    }
    (false, most)
}

/// How an attempt ends that nothing but its timeout cuts off.
pub(super) fn outcome(scene: &Scene, step: usize, undo: bool, nth: u32) -> Act {
    let attempt = scene.attempt(step, undo, nth);
    let timeout = scene.plan.steps[step].timeout.map_or(u128::MAX, |timeout| timeout.as_millis());
    let takes = if let Pause::Sleep(millis) = attempt.pause { millis } else { 0 };
    if u128::from(takes) > timeout { Act::Hang } else { attempt.act }
}

/// The steps that a run comes to where nothing fails.
pub(super) fn wanted(scene: &Scene) -> Vec<bool> {
    let count = scene.plan.steps.len();
    let Some(last) = scene.rules.until else { return vec![true; count] };
    (0..count).map(|step| step == last || builds_on(scene, last, step)).collect()
}

/// Whether `later` needs `earlier`, directly or by way of others.
pub(super) fn builds_on(scene: &Scene, later: usize, earlier: usize) -> bool {
    if !scene.plan.parallel {
        return later > earlier;
    }
    let needs = scene.plan.steps[later].needs.iter();
    let mut needs = needs.map(|need| scene.plan.position(need).unwrap());
    needs.any(|need| need == earlier || builds_on(scene, need, earlier))
}

/// Holds a run that was left alone against what it had to do.
pub(super) fn check(ran: &Ran) -> TestCaseResult {
    let scene = &ran.scene;
    prop_assert!(scene.is_undisturbed());
    let wanted = wanted(scene);
    let stops = |step: &usize| wanted[*step] && scene.plan.steps[*step].critical && fate(scene, *step).0 == Fate::Fails;
    let stopped = (0..wanted.len()).find(stops);
    for (step, is_wanted) in wanted.iter().enumerate() {
        let (found, all) = (calls(ran, step, Part::Run), fate(scene, step).1);
        let comes = match stopped {
            None => *is_wanted,
            Some(stopper) if !scene.plan.parallel => *is_wanted && step <= stopper,
            // How far the steps beside the one that failed had come depends on who was quicker.
            Some(_) => {
                prop_assert!(found <= all, "step {step} was called {found} times, which has at most {all} attempts");
                continue;
            }
        };
        prop_assert_eq!(found, if comes { all } else { 0 }, "calls of step {}", step);
    }
    for step in (0..wanted.len()).filter(|step| calls(ran, *step, Part::Undo) > 0) {
        prop_assert_eq!(calls(ran, step, Part::Undo), tries(scene, step, true).1, "undos of step {}", step);
    }
    prop_assert_eq!(ran.status(), status(ran, stopped, &wanted));
    prop_assert_eq!(matches!(ran.end, End::Report), stopped.is_none(), "{:?}", &ran.end);
    Ok(())
}

fn status(ran: &Ran, stopped: Option<usize>, wanted: &[bool]) -> RunStatus {
    let scene = &ran.scene;
    if stopped.is_none() {
        let is_all = wanted.iter().all(|is_wanted| *is_wanted);
        return if is_all { RunStatus::Completed } else { RunStatus::Cancelled };
    }
    let undoable = ran.undoable();
    if scene.plan.on_failure != OnFailure::Rollback || undoable.is_empty() {
        return RunStatus::Failed;
    }
    let mut undone = undoable.iter().filter(|step| !scene.rules.kept.contains(step));
    if undone.all(|&step| tries(scene, step, true).0) { RunStatus::RolledBack } else { RunStatus::Stuck }
}

pub(super) fn calls(ran: &Ran, step: usize, part: Part) -> u32 {
    let begins = ran.notes.iter().filter(|note| note.step == step && note.part == part);
    begins.map(|note| u32::from(matches!(note.what, What::Begins { .. }))).sum()
}

impl Ran {
    /// The steps that began and can be undone. One whose skip method fails begins for that.
    pub(super) fn undoable(&self) -> Vec<usize> {
        let has_begun = |step: usize| {
            self.notes.iter().any(|note| match (note.step == step, note.part, note.what) {
                (true, Part::Run, _) => true,
                (true, Part::Skip, What::Ends(act)) => act != Act::Ok && self.begins_for_its_failure(step),
                _ => false,
            })
        };
        let steps = self.scene.plan.steps.iter().enumerate();
        steps.filter(|(step, info)| info.undo && has_begun(*step)).map(|(step, _)| step).collect()
    }

    /// Unless something else stopped the run meanwhile, which only the events tell.
    fn begins_for_its_failure(&self, step: usize) -> bool {
        self.folded().steps()[step].has_begun()
    }
}
