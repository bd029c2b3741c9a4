//! One test for each rule, so that a rule that is lost is named by the test that fails.

use std::time::Duration;

use fastrand::Rng;

use super::generator::event;
use super::moves::{Act, Move, run_start};
use super::scene::{
    chain, completed, end, failed, over, parallel, passed_over, resume, resume_with, retry, run, skipped, start, undo,
    undone,
};
use crate::event::{RunStatus, StepRef, StepStatus, TaskStatus, UndoStatus};
use crate::state::{IllegalReason, RunState};
use crate::workflow::{Plan, PlanError, StepInfo};

fn in_status(status: StepStatus) -> IllegalReason {
    IllegalReason::Step { status }
}

fn run_in(status: RunStatus) -> IllegalReason {
    IllegalReason::Run { status }
}

fn step(id: &str) -> String {
    id.to_owned()
}

#[test]
fn a_run_begins_with_its_start() {
    let walk = run(chain(), [start(0)]);
    let reason = |event| RunState::start(event).unwrap_err().reason;
    assert_eq!(reason(&walk.events[1]), IllegalReason::NotStarted);
    let late = event(2, Duration::ZERO, run_start(&walk.model));
    assert_eq!(reason(&late), IllegalReason::OutOfSequence { expected: 1 });
    walk.refuses(&Move::StartAgain, IllegalReason::AlreadyStarted);
}

#[test]
fn a_plan_that_is_none_is_refused_at_the_start_and_later() {
    let twice = Plan::new("walk", [StepInfo::new("render", "a"), StepInfo::new("render", "b")]);
    let expected = IllegalReason::Plan(PlanError::DuplicateId { id: step("render") });
    let start = run_start(&super::model::Model::new(twice.clone()));
    let illegal = RunState::start(&event(1, Duration::ZERO, start)).unwrap_err();
    assert_eq!(illegal.reason, expected);
    run(chain(), []).refuses_kind(resume_with(twice, false), expected);
}

#[test]
fn events_follow_each_other_in_number_and_time() {
    let walk = run(chain(), [start(0)]);
    let next = walk.later(&completed(0), Duration::from_secs(1));
    let mut gap = next.clone();
    gap.seq = 4;
    let expected = IllegalReason::OutOfSequence { expected: 3 };
    walk.refuses_event(&walk.events[1], expected.clone());
    walk.refuses_event(&gap, expected);

    let mut early = next.clone();
    early.elapsed = walk.state.elapsed().checked_sub(Duration::from_nanos(1)).unwrap();
    walk.refuses_event(&early, IllegalReason::TimeWentBack { previous: walk.state.elapsed() });

    let mut foreign = next;
    foreign.run = "other".into();
    walk.refuses_event(&foreign, IllegalReason::OtherRun { found: "other".into() });
}

#[test]
fn a_step_that_the_plan_does_not_have_is_refused() {
    let walk = run(chain(), []);
    for act in [Act::Start { attempt: 1 }, Act::Line, Act::UndoStart { attempt: 1 }] {
        let kind = act.kind(StepRef::new("stranger"), false, &mut Rng::with_seed(7));
        walk.refuses_kind(kind, IllegalReason::UnknownStep);
    }
}

#[test]
fn a_step_starts_only_when_it_is_pending() {
    let running = run(chain(), [start(0)]);
    let again = Move::Step(0, Act::Start { attempt: 2 });
    running.refuses(&again, in_status(StepStatus::Running));
    running.then(&completed(0)).refuses(&again, in_status(StepStatus::Completed));
    let failed = run(chain(), [start(0), failed(0)]);
    failed.refuses(&again, in_status(StepStatus::Failed));
}

#[test]
fn a_step_starts_only_after_what_comes_before_it() {
    let before = || IllegalReason::TooEarly { before: step("render") };
    run(chain(), []).refuses(&start(1), before());
    run(chain(), [start(0)]).refuses(&start(2), before());
    run(chain(), [start(0)]).refuses(&skipped(1), before());
    run(parallel(), [start(3), completed(3)]).refuses(&start(1), before());
    let apply = IllegalReason::TooEarly { before: step("apply") };
    run(parallel(), [start(0), completed(0), start(1)]).refuses(&start(2), apply);
}

#[test]
fn nothing_starts_after_a_step_stopped_the_run() {
    let halted = |id| IllegalReason::Halted { step: step(id) };
    let stopped = run(parallel(), [start(0), start(3), failed(3)]);
    stopped.refuses(&Move::Step(0, Act::Start { attempt: 2 }), in_status(StepStatus::Running));
    let retried = stopped.then(&retry(0));
    retried.refuses(&Move::Step(0, Act::Start { attempt: 2 }), halted("notify"));
    let cancelled = run(parallel(), [start(0), completed(0), start(3), end(3, StepStatus::Cancelled)]);
    cancelled.refuses(&start(1), halted("notify"));
    cancelled.refuses(&skipped(1), halted("notify"));
}

#[test]
fn attempts_count_up() {
    let expected = |expected| IllegalReason::Attempt { expected };
    run(chain(), []).refuses(&Move::Step(0, Act::Start { attempt: 2 }), expected(1));
    let running = run(chain(), [start(0)]);
    let ended = Act::End { status: StepStatus::Completed, reason: None, attempt: 2 };
    running.refuses(&Move::Step(0, ended), expected(1));
    running.refuses(&Move::Step(0, Act::Retry { attempt: 2 }), expected(1));
    running.clone().then(&retry(0)).refuses(&start(0), expected(2));
    running.then(&resume(false)).refuses(&start(0), expected(2));
    let undoing = run(chain(), [start(0), failed(0), undo(0)]);
    undoing.refuses(&Move::Step(0, Act::Retry { attempt: 2 }), expected(1));
    undoing.then(&retry(0)).refuses(&undo(0), expected(2));
}

#[test]
fn a_step_ends_once_and_only_while_it_runs() {
    run(chain(), []).refuses(&completed(0), in_status(StepStatus::Pending));
    let waiting = run(chain(), [start(0), retry(0)]);
    waiting.refuses(&completed(0), in_status(StepStatus::Running));
    waiting.refuses(&retry(0), in_status(StepStatus::Running));
    let ended = waiting.then(&failed(0));
    ended.refuses(&failed(0), in_status(StepStatus::Failed));
    ended.refuses(&retry(0), in_status(StepStatus::Failed));
    ended.refuses(&Move::Step(0, Act::Line), in_status(StepStatus::Failed));
}

#[test]
fn a_step_ends_as_its_rules_allow() {
    let rule = |rule| IllegalReason::Rule { rule };
    let first = run(chain(), [start(0)]);
    first.refuses(&passed_over(0), rule("a critical step that fails ends as failed"));
    let undone = rule("a step ends as completed, failed, skipped or cancelled");
    first.refuses(&end(0, StepStatus::Undone), undone);
    first.refuses(&skipped(0), in_status(StepStatus::Running));
    let no_leave = rule("only a skippable step may be skipped on purpose");
    run(chain(), []).refuses(&skipped(0), no_leave);
    let last = run(chain(), [start(0), completed(0), skipped(1), start(2)]);
    last.refuses(&failed(2), rule("a non-critical step that fails ends as skipped"));
}

#[test]
fn news_are_about_what_runs() {
    let walk = run(chain(), [start(0)]);
    for fraction in [1.5, -0.25, f64::INFINITY] {
        let reason = IllegalReason::Fraction { fraction };
        walk.refuses(&Move::Step(0, Act::Update(Some(fraction))), reason.clone());
        walk.refuses(&Move::Step(0, Act::TaskUpdate(1, Some(fraction))), reason);
    }
    let task = |problem| IllegalReason::Task { task: step("1"), problem };
    walk.refuses(&Move::Step(0, Act::TaskUpdate(1, None)), task("is not running"));
    walk.refuses(&Move::Step(0, Act::TaskEnd(1, TaskStatus::Failed)), task("is not running"));
    let added = walk.then(&Move::Step(0, Act::TaskStart(1)));
    added.refuses(&Move::Step(0, Act::TaskStart(1)), task("was added before"));
    let rule = IllegalReason::Rule { rule: "a task ends as completed or failed" };
    added.refuses(&Move::Step(0, Act::TaskEnd(1, TaskStatus::Running)), rule);
    let done = added.then(&Move::Step(0, Act::TaskEnd(1, TaskStatus::Completed)));
    done.refuses(&Move::Step(0, Act::TaskUpdate(1, None)), task("is not running"));
    done.refuses(&Move::Step(1, Act::Stalled), in_status(StepStatus::Pending));
}

#[test]
fn what_is_no_number_is_no_fraction() {
    let walk = run(chain(), [start(0)]);
    let update = walk.event(&Move::Step(0, Act::Update(Some(f64::NAN))), &mut Rng::with_seed(7));
    // Not equal to itself, so only the variant can be compared.
    let reason = walk.state.clone().apply(&update).unwrap_err().reason;
    assert!(matches!(reason, IllegalReason::Fraction { fraction } if fraction.is_nan()));
}

#[test]
fn a_run_ends_when_nothing_runs_and_nothing_is_left() {
    let running = run(chain(), [start(0)]);
    let still = IllegalReason::StillRunning { step: step("render") };
    running.refuses(&over(RunStatus::Failed), still.clone());
    let left = IllegalReason::Unfinished { step: step("apply") };
    running.then(&completed(0)).refuses(&over(RunStatus::Completed), left);

    let undoing = run(chain(), [start(0), failed(0), undo(0)]);
    undoing.refuses(&over(RunStatus::Stuck), still);
    let tried = undoing.then(&undone(0, UndoStatus::UndoFailed));
    let left = IllegalReason::Unfinished { step: step("render") };
    tried.refuses(&over(RunStatus::RolledBack), left);
    tried.refuses(&over(RunStatus::Failed), run_in(RunStatus::RollingBack));
}

#[test]
fn a_run_ends_in_a_status_that_fits() {
    let rule = |rule| IllegalReason::Rule { rule };
    let walk = run(chain(), []);
    for status in [RunStatus::Running, RunStatus::RollingBack] {
        walk.refuses(&over(status), rule("a run that goes on has no end"));
    }
    for status in [RunStatus::RolledBack, RunStatus::Stuck] {
        walk.refuses(&over(status), run_in(RunStatus::Running));
    }
    let back = walk.then(&resume(true));
    back.refuses(&over(RunStatus::Stuck), rule("a run is stuck only when an undo failed"));
    back.refuses(&over(RunStatus::Completed), run_in(RunStatus::RollingBack));
}

#[test]
fn what_is_over_for_good_is_not_resumed() {
    let all = [start(0), completed(0), skipped(1), start(2), passed_over(2), over(RunStatus::Completed)];
    let done = run(chain(), all);
    let back = run(chain(), [resume(true), over(RunStatus::RolledBack)]);
    for (walk, status) in [(done, RunStatus::Completed), (back, RunStatus::RolledBack)] {
        walk.refuses(&resume(false), run_in(status));
        walk.refuses(&resume(true), run_in(status));
        walk.refuses(&start(0), run_in(status));
        walk.refuses(&over(status), run_in(status));
    }
}

#[test]
fn a_run_that_turned_back_never_goes_forward() {
    let back = run(chain(), [start(0), failed(0), undo(0)]);
    back.refuses(&resume(false), run_in(RunStatus::RollingBack));
    back.refuses(&start(1), run_in(RunStatus::RollingBack));
    let stuck = back.then(&undone(0, UndoStatus::UndoFailed)).then(&over(RunStatus::Stuck));
    stuck.refuses(&resume(false), run_in(RunStatus::Stuck));
}

#[test]
fn undoing_begins_when_the_run_was_stopped_and_nothing_runs() {
    run(chain(), [start(0), completed(0)]).refuses(&undo(0), run_in(RunStatus::Running));
    let ended = run(chain(), [start(0), failed(0), over(RunStatus::Failed)]);
    ended.refuses(&undo(0), run_in(RunStatus::Failed));
    ended.refuses(&undone(0, UndoStatus::Skipped), run_in(RunStatus::Failed));
    let sibling = run(parallel(), [start(0), start(3), failed(3)]);
    sibling.refuses(&undo(0), IllegalReason::StillRunning { step: step("render") });
}

#[test]
fn only_what_began_is_undone_and_only_once() {
    let forward = [start(0), completed(0), skipped(1), start(2), resume(true)];
    let back = run(chain(), forward);
    let no_undo = IllegalReason::Rule { rule: "the step declares no undo" };
    back.refuses(&undo(2), no_undo);
    back.refuses(&undo(1), in_status(StepStatus::Skipped));
    back.refuses(&undone(0, UndoStatus::Undone), in_status(StepStatus::Completed));
    let undoing = back.then(&undo(0));
    undoing.refuses(&Move::Step(0, Act::UndoStart { attempt: 2 }), in_status(StepStatus::Completed));
    undoing.refuses(&undone(0, UndoStatus::Skipped), in_status(StepStatus::Completed));
    let waiting = undoing.clone().then(&retry(0));
    waiting.refuses(&undone(0, UndoStatus::Undone), in_status(StepStatus::Completed));
    let done = undoing.then(&undone(0, UndoStatus::Undone));
    done.refuses(&Move::Step(0, Act::UndoStart { attempt: 2 }), in_status(StepStatus::Undone));
    done.refuses(&undone(0, UndoStatus::Skipped), in_status(StepStatus::Undone));
}

#[test]
fn undoing_goes_backwards() {
    let first = || IllegalReason::TooEarly { before: step("apply") };
    let forward = || [start(0), completed(0), start(1), failed(1)];
    for plan in [chain(), parallel()] {
        let back = run(plan, forward());
        back.refuses(&undo(0), first());
        let undoing = back.then(&undo(1));
        undoing.refuses(&undo(0), first());
        // What was tried and what somebody let be no longer stands in the way.
        undoing.clone().then(&undone(1, UndoStatus::UndoFailed)).then(&undo(0));
        undoing.then(&resume(true)).then(&undone(1, UndoStatus::Skipped)).then(&undo(0));
    }
}
