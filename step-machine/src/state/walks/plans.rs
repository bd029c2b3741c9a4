//! Runs that go on with a plan that changed.

use super::edit::Edit;
use super::generator::{Walk, event};
use super::moves::Move;
use super::scene::{chain, completed, failed, parallel, resume, resume_with, run, skipped, start, undo, undone};
use crate::event::{StepStatus, UndoStatus};
use crate::state::{IllegalReason, PlanChange, RunState};
use crate::workflow::{Plan, StepInfo};

fn id(id: &str) -> String {
    id.to_owned()
}

fn new(name: &str) -> StepInfo {
    let mut step = StepInfo::new(name, name);
    step.undo = true;
    step
}

/// `render` is completed, `apply` was interrupted, `report` was not reached.
fn halfway() -> Walk {
    run(chain(), [start(0), completed(0), start(1)])
}

fn changed(change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = chain();
    change(&mut plan);
    plan
}

/// The state after a resumption under `plan`.
fn resumed(walk: &Walk, rollback: bool, plan: Plan) -> RunState {
    assert_eq!(walk.state.plan_changes(&plan), []);
    let kind = resume_with(plan, rollback);
    let next = event(walk.state.seq() + 1, walk.state.elapsed(), kind);
    walk.state.clone().apply(&next).unwrap()
}

/// Asserts that exactly these changes are found, and that a resumption names the first.
fn refuses<const N: usize>(walk: &Walk, plan: Plan, changes: [PlanChange; N]) {
    assert_eq!(walk.state.plan_changes(&plan), changes);
    let change = changes[0].clone();
    walk.refuses_kind(resume_with(plan, false), IllegalReason::PlanChanged { change });
}

#[test]
fn what_was_not_reached_may_come_go_and_change() {
    let walk = halfway();
    let state = resumed(&walk, false, changed(|plan| plan.steps[2] = new("notify")));
    assert!(state.step("report").is_none());
    assert_eq!(state.step("notify").unwrap().status(), StepStatus::Pending);
    // A step that failed may well need another one first.
    let state = resumed(&walk, false, changed(|plan| plan.steps.insert(1, new("fetch"))));
    assert_eq!(state.step("apply").unwrap().attempts(), 1);
    assert!(state.step("apply").unwrap().is_interrupted());
    assert_eq!(state.step("render").unwrap().status(), StepStatus::Completed);
}

#[test]
fn a_step_that_was_renamed_keeps_its_state() {
    let plan = changed(|plan| {
        plan.steps[0].id = id("templates");
        plan.steps[0].aliases = vec![id("render")];
    });
    let state = resumed(&halfway(), false, plan);
    let step = state.step("templates").unwrap();
    assert_eq!(step.status(), StepStatus::Completed);
    assert_eq!(state.step("render"), Some(step));
}

#[test]
fn a_step_that_began_cannot_be_lost() {
    let walk = halfway();
    let lost = |step| PlanChange::Lost { step: id(step) };
    refuses(&walk, changed(|plan| _ = plan.steps.remove(0)), [lost("render")]);
    refuses(&walk, changed(|plan| plan.steps.truncate(1)), [lost("apply")]);
    refuses(&walk, changed(|plan| plan.steps.clear()), [lost("render"), lost("apply")]);
    let skipped = run(chain(), [start(0), completed(0), skipped(1)]);
    refuses(&skipped, changed(|plan| _ = plan.steps.remove(1)), [lost("apply")]);
}

#[test]
fn two_steps_cannot_become_one() {
    let merged = |plan: &mut Plan| {
        plan.steps.remove(0);
        plan.steps[0].aliases = vec![id("render")];
    };
    refuses(&halfway(), changed(merged), [PlanChange::Lost { step: id("render") }]);
}

#[test]
fn steps_that_began_cannot_change_places() {
    let reordered = PlanChange::Reordered { first: id("render"), second: id("apply") };
    refuses(&halfway(), changed(|plan| plan.steps.swap(0, 1)), [reordered]);
    let parallel = run(parallel(), [start(0), completed(0), start(1)]);
    let mut plan = parallel.state.plan().clone();
    plan.steps.swap(0, 1);
    resumed(&parallel, false, plan);
}

#[test]
fn nothing_comes_before_a_settled_step() {
    let before = |step: &str| PlanChange::Inserted { step: id(step), before: id("render") };
    let walk = halfway();
    refuses(&walk, changed(|plan| plan.steps.insert(0, new("fetch"))), [before("fetch")]);
    // Neither may a step that the plan had behind it.
    refuses(&walk, changed(|plan| plan.steps.rotate_right(1)), [before("report")]);
    let two = |plan: &mut Plan| {
        plan.steps.insert(0, new("fetch"));
        plan.steps.insert(0, new("check"));
    };
    refuses(&walk, changed(two), [before("check"), before("fetch")]);
}

#[test]
fn a_run_that_was_parallel_becomes_sequential_only_where_it_went_in_order() {
    let chained = |walk: &Walk| {
        let mut plan = walk.state.plan().clone();
        plan.parallel = false;
        plan
    };
    let ahead = run(parallel(), [start(0), start(3), completed(3)]);
    let before = |step: &str| PlanChange::Inserted { step: id(step), before: id("notify") };
    refuses(&ahead, chained(&ahead), [before("render"), before("apply"), before("report")]);
    let in_order = run(parallel(), [start(0), completed(0), start(3)]);
    resumed(&in_order, false, chained(&in_order));
    // What was undone never runs again, so it cannot come too late.
    let back = [start(0), completed(0), start(3), completed(3), resume(true), undo(0)];
    let back = run(parallel(), back).then(&undone(0, UndoStatus::Undone));
    let mut plan = chained(&back);
    plan.steps.drain(1..3);
    resumed(&back, true, plan);
}

#[test]
fn undoing_follows_the_new_order() {
    // `apply` began before the step that it now comes after.
    let edited = |edit| Move::Resume { rollback: false, edit: Some(edit) };
    let chain = halfway().then(&edited(Edit::Insert(1))).then(&start(1)).then(&failed(1));
    assert_eq!(chain.state.to_undo(), [2, 1, 0]);
    chain.then(&undo(2)).then(&undone(2, UndoStatus::Undone)).then(&undo(1));

    let parallel = run(parallel(), [start(0), completed(0), start(1)]);
    let parallel = parallel.then(&edited(Edit::Insert(4))).then(&edited(Edit::Need(1, 4)));
    let parallel = parallel.then(&start(4)).then(&failed(4));
    assert_eq!(parallel.state.to_undo(), [1, 4, 0]);
    parallel.then(&undo(1)).then(&undone(1, UndoStatus::Undone)).then(&undo(4));
}

#[test]
fn a_longer_plan_does_not_lower_the_percentage() {
    // 10.625 % are shown as 10.63; computed anew for the longer plan they come out a hair lower, which would be 10.62.
    let weigh = |id: &str, weight| StepInfo { weight, ..new(id) };
    let short = Plan::new("walk", [weigh("render", 17.0), weigh("apply", 143.0)]);
    let mut long = short.clone();
    long.steps.push(weigh("report", 3.0));
    let walk = run(short, [start(0), completed(0)]);
    let shown = walk.state.progress().percentage;
    assert!(resumed(&walk, false, long).progress().percentage >= shown, "{shown}");
}
