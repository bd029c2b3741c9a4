//! What a state keeps of the attempts at a step, and what it tells of the time that remains.

use std::time::Duration;

use super::generator::{Walk, event};
use super::moves::{Act, Move};
use super::scene::{chain, failed, resume, retry, run, start, undo};
use crate::event::{Event, Kind, StepEnd, StepRef, StepStatus, TaskStatus};

fn task(at: usize, task: u8) -> Move {
    Move::Step(at, Act::TaskStart(task))
}

fn again(at: usize) -> Move {
    Move::Step(at, Act::Start { attempt: 2 })
}

fn tasks(walk: &Walk, at: usize) -> Vec<(&str, TaskStatus)> {
    walk.state.steps()[at].tasks().iter().map(|task| (&*task.id, task.status)).collect()
}

#[test]
fn every_attempt_adds_its_own_tasks() {
    let walk = run(chain(), [start(0), task(0, 1), task(0, 2)]);
    let retried = walk.clone().then(&retry(0));
    assert_eq!(tasks(&retried, 0), [("1", TaskStatus::Running), ("2", TaskStatus::Running)]);
    let crashed = walk.clone().then(&resume(false));
    for interrupted in [retried, crashed] {
        let walk = interrupted.then(&again(0));
        assert_eq!(tasks(&walk, 0), []);
        assert_eq!(tasks(&walk.then(&task(0, 1)), 0), [("1", TaskStatus::Running)]);
    }
    let undoing = walk.then(&failed(0)).then(&undo(0)).then(&task(0, 1));
    assert_eq!(tasks(&undoing, 0), [("1", TaskStatus::Running)]);
}

#[test]
fn an_error_is_gone_once_the_step_ended_well() {
    let walk = run(chain(), [start(0), retry(0), again(0)]);
    assert!(walk.state.steps()[0].error().is_some());
    let ended = |output| {
        let kind = Kind::StepEnd(StepEnd {
            step: StepRef::new("render"),
            status: StepStatus::Completed,
            reason: None,
            message: None,
            attempt: 2,
            duration: Duration::ZERO,
            attempt_duration: Duration::ZERO,
            error: None,
            output,
            secret: false,
            sealed: None,
        });
        let end = event(walk.state.seq() + 1, walk.state.elapsed(), kind);
        walk.state.clone().apply(&end).unwrap()
    };
    // Whether or not there is an output to keep instead.
    assert_eq!(ended(None).steps()[0].error(), None);
    assert_eq!(ended(Some(Box::new(7.into()))).steps()[0].error(), None);
}

#[test]
fn an_estimate_of_ages_is_none() {
    let walk = run(chain(), [start(0)]);
    for (fraction, known) in [(0.5, true), (1e-15, false), (f64::MIN_POSITIVE, false)] {
        let next = Move::Step(0, Act::Update(Some(fraction)));
        let state = walk.state.clone().apply(&walk.later(&next, Duration::from_secs(60)));
        let progress = state.unwrap().progress();
        assert_eq!(progress.eta.is_some(), known, "{fraction}");
        let mut event = walk.later(&next, Duration::from_secs(60));
        event.progress = Some(progress);
        assert_eq!(Event::from_json(&serde_json::to_string(&event).unwrap()).unwrap(), event);
    }
}
