//! Random walks through random plans: whatever the rules allow folds, the same way each time, and whatever they forbid
//! is refused for the right reason and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod diffs;
mod edit;
pub(crate) mod generator;
mod model;
mod moves;
mod plans;
mod refused;
mod rules;
mod scene;
mod shown;

use std::collections::HashSet;
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseResult, TestRunner};

use self::generator::{Script, Walk, scripts};
use self::moves::{Act, Move};
use super::{IllegalReason, RunState, Stamp, Undo};
use crate::event::{Event, Kind, RunStatus, StepRef, StepStatus, UndoStatus};
use crate::time::nanos;

const RUN: &str = "walk-1";
/// When the walks begin, after the Unix epoch.
const STARTED: Duration = Duration::from_secs(1_767_225_600);

fn stamp(event: &Event) -> Stamp {
    Stamp { seq: event.seq, elapsed: nanos(event.elapsed) }
}

fn replay(events: &[Event], mut each: impl FnMut(&RunState, &RunState, &Event) -> TestCaseResult) -> TestCaseResult {
    let mut state = RunState::start(&events[0]).unwrap();
    for event in &events[1..] {
        let before = state.clone();
        state.advance(event).unwrap();
        each(&before, &state, event)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_legal_walk_folds_to_what_the_model_says(script in scripts()) {
        let mut walk = Walk::begin(script.plan, script.forward);
        for seed in script.seeds {
            let mut random = Rng::with_seed(seed);
            let Some(next) = walk.legal(&mut random) else { break };
            walk.make(&next, &mut random)?;
            prop_assert_eq!(walk.model.differences(&walk.state), Vec::<String>::new(), "{:?}", next);
        }
        prop_assert_eq!(RunState::fold(&walk.events).unwrap(), Some(walk.state));
    }

    #[test]
    fn neither_batches_nor_json_change_the_fold(script in scripts(), cuts: [prop::sample::Index; 3]) {
        let walk = Walk::to_the_end(script)?;
        let mut read = Vec::new();
        for event in &walk.events {
            let text = serde_json::to_string(event).unwrap();
            let mut written = Vec::new();
            event.write(&mut written).unwrap();
            prop_assert_eq!(std::str::from_utf8(&written), Ok(text.as_str()));
            read.push(Event::from_json(&text).unwrap());
            prop_assert_eq!(read.last(), Some(event), "{}", text);
        }
        let folded = RunState::fold(&read).unwrap();
        prop_assert_eq!(folded.as_ref(), Some(&walk.state));
        for cut in cuts {
            let (first, rest) = read.split_at(1 + cut.index(read.len()));
            let state = RunState::fold(first).unwrap().unwrap();
            let state = rest.iter().try_fold(state, RunState::apply).unwrap();
            prop_assert_eq!(&state, &walk.state);
        }
    }

    #[test]
    fn progress_never_falls(script in scripts()) {
        let walk = Walk::to_the_end(script)?;
        replay(&walk.events, |before, state, event| {
            let (was, is) = (before.progress().percentage, state.progress().percentage);
            prop_assert!((was..=100.0).contains(&is), "{} after {} at {:?}", is, was, event);
            if state.status() == RunStatus::Completed {
                prop_assert_eq!(is.to_bits(), 100_f64.to_bits());
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_event_can_be_taken_back(script in scripts()) {
        let walk = Walk::to_the_end(script)?;
        replay(&walk.events, |before, state, event| {
            let stamp = stamp(event);
            let mut again = before.clone();
            let target = again.check(stamp, &event.kind).unwrap();
            let saved = again.save(target);
            again.commit(stamp, &event.kind, target);
            prop_assert_eq!(&again, state);
            again.restore(saved);
            prop_assert_eq!(&again, before);
            Ok(())
        })?;
    }

    #[test]
    fn a_short_way_is_as_good_as_the_long_one(script in scripts()) {
        let walk = Walk::to_the_end(script)?;
        replay(&walk.events, |_, state, event| {
            let now = nanos(event.elapsed);
            for elapsed in [now + 1, now.saturating_sub(1)] {
                for (at, info) in state.plan().steps.iter().enumerate() {
                    let kind = |act: Act| act.kind(StepRef::new(info.id.clone()), false, &mut Rng::with_seed(0));
                    let start = kind(Act::Start { attempt: 1 });
                    same_way(state, elapsed, |state| state.start_plainly(at, elapsed), &start)?;
                    let attempt = state.steps()[at].attempts();
                    let mut end = kind(Act::End { status: StepStatus::Completed, reason: None, attempt });
                    if let Kind::StepEnd(end) = &mut end {
                        end.output = None;
                    }
                    same_way(state, elapsed, |state| state.complete_plainly(at, elapsed), &end)?;
                }
                let end = Move::EndRun(RunStatus::Completed).kind(&walk.model, &mut Rng::with_seed(0));
                same_way(state, elapsed, |state| state.finish_plainly(elapsed), &end)?;
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_the_model_forbids_is_refused_and_changes_nothing(script in scripts()) {
        let mut walk = Walk::begin(script.plan, script.forward);
        for seed in script.seeds {
            let mut random = Rng::with_seed(seed);
            let before = walk.state.clone();
            for _ in 0..8 {
                let tried = walk.any(&mut random);
                let event = walk.event(&tried, &mut random);
                let stamp = stamp(&event);
                match (walk.state.check(stamp, &event.kind), walk.model.judge(&tried)) {
                    (Ok(_), Ok(())) => {}
                    (Err(illegal), Err(reasons)) => {
                        prop_assert!(reasons.contains(&illegal.reason), "{:?}: {} for {:?}", tried, illegal, reasons);
                        prop_assert_eq!(illegal.seq, event.seq);
                        prop_assert_eq!(illegal.event, event.event_type());
                        prop_assert_eq!(illegal.step.as_deref(), event.step());
                        prop_assert_eq!(walk.state.advance(&event), Err(illegal));
                        prop_assert_eq!(&walk.state, &before);
                    }
                    (code, model) => {
                        prop_assert!(false, "{:?}: {:?}, and by the model {:?}", tried, code.err(), model);
                    }
                }
            }
            let Some(next) = walk.legal(&mut random) else { break };
            walk.make(&next, &mut random)?;
        }
    }

    #[test]
    fn an_event_that_is_out_of_place_is_refused_and_changes_nothing(script in scripts()) {
        let mut walk = Walk::begin(script.plan, script.forward);
        for seed in script.seeds {
            let mut random = Rng::with_seed(seed);
            let Some(next) = walk.legal(&mut random) else { break };
            let before = walk.state.clone();
            for (event, reason) in out_of_place(&walk, walk.event(&next, &mut random)) {
                let refused = walk.state.advance(&event).map_err(|illegal| illegal.reason);
                prop_assert_eq!(refused, Err(reason));
                prop_assert_eq!(&walk.state, &before);
            }
            walk.make(&next, &mut random)?;
        }
    }

    #[test]
    fn a_step_ends_once_in_a_life_and_is_undone_once(script in scripts()) {
        let walk = Walk::to_the_end(script)?;
        let (mut ended, mut undone) = (HashSet::new(), HashSet::new());
        replay(&walk.events, |before, state, event| {
            // A step is known by its place: events may use its old id.
            let at = |step: &StepRef| before.plan().position(step.id());
            match &event.kind {
                Kind::RunResume(resume) => {
                    ended.clear();
                    // An edit may move the steps, and then the places are those of others.
                    if resume.plan.is_some() {
                        undone.clear();
                    }
                }
                Kind::StepStart(start) => prop_assert!(!ended.contains(&at(&start.step))),
                Kind::StepEnd(end) => prop_assert!(ended.insert(at(&end.step))),
                Kind::UndoEnd(end) if end.status == UndoStatus::Undone => {
                    prop_assert!(undone.insert(at(&end.step)));
                }
                Kind::RunEnd(_) => {
                    let active = |step: &super::StepState| {
                        step.status() == StepStatus::Running || step.undo() == Undo::Running
                    };
                    prop_assert!(!state.steps().iter().any(active));
                }
                _ => {}
            }
            Ok(())
        })?;
    }

    #[test]
    fn undoing_follows_the_needs_backwards_to_the_end(script in scripts()) {
        let mut walk = Walk::to_the_end(script)?;
        let random = &mut Rng::with_seed(1);
        if walk.model.run == RunStatus::Completed {
            return Ok(());
        }
        if walk.model.run != RunStatus::RolledBack {
            walk.make(&Move::Resume { rollback: true, edit: None }, random)?;
        }
        let order = walk.state.to_undo();
        for (place, &at) in order.iter().enumerate() {
            let late = order[place..].iter().find(|&&later| walk.model.builds_on(later, at));
            prop_assert_eq!(late, None, "in {:?}", order);
            let attempt = walk.model.lives[at].undo_attempts + 1;
            walk.make(&Move::Step(at, Act::UndoStart { attempt }), random)?;
            walk.make(&Move::Step(at, Act::UndoEnd(UndoStatus::Undone)), random)?;
        }
        if walk.model.run != RunStatus::RolledBack {
            walk.make(&Move::EndRun(RunStatus::RolledBack), random)?;
        }
    }

    #[test]
    fn a_run_that_goes_forward_can_always_be_completed(script in scripts()) {
        let mut walk = Walk::to_the_end(Script { forward: usize::MAX, ..script })?;
        if walk.model.is_over() {
            return Ok(());
        }
        let random = &mut Rng::with_seed(1);
        walk.make(&Move::Resume { rollback: false, edit: None }, random)?;
        let ready = |walk: &Walk| {
            (0..walk.model.lives.len()).find_map(|at| {
                let attempt = walk.model.lives[at].attempts + 1;
                let start = Move::Step(at, Act::Start { attempt });
                walk.model.judge(&start).is_ok().then_some((at, attempt, start))
            })
        };
        while let Some((at, attempt, start)) = ready(&walk) {
            walk.make(&start, random)?;
            let (status, reason) = (StepStatus::Completed, None);
            walk.make(&Move::Step(at, Act::End { status, reason, attempt }), random)?;
        }
        walk.make(&Move::EndRun(RunStatus::Completed), random)?;
        prop_assert_eq!(walk.state.progress().percentage.to_bits(), 100_f64.to_bits());
    }
}

/// A short cut does what the event does, or nothing.
fn same_way(state: &RunState, elapsed: u64, short: impl FnOnce(&mut RunState) -> bool, kind: &Kind) -> TestCaseResult {
    let (mut cut, mut long) = (state.clone(), state.clone());
    if short(&mut cut) {
        let stamp = Stamp { seq: state.seq() + 1, elapsed };
        let target = long.check(stamp, kind).map_err(|illegal| TestCaseError::fail(illegal.to_string()))?;
        long.commit(stamp, kind, target);
    }
    prop_assert_eq!(cut, long);
    Ok(())
}

/// The event with a header or a step that cannot be, and why not.
fn out_of_place(walk: &Walk, event: Event) -> Vec<(Event, IllegalReason)> {
    let last = walk.events.last().unwrap();
    let expected = event.seq;
    let with = |change: &dyn Fn(&mut Event)| {
        let mut event = event.clone();
        change(&mut event);
        event
    };
    let mut found = vec![
        (last.clone(), IllegalReason::OutOfSequence { expected }),
        (with(&|event| event.seq += 1), IllegalReason::OutOfSequence { expected }),
        (with(&|event| event.seq = 0), IllegalReason::OutOfSequence { expected }),
        (with(&|event| event.run = "other".into()), IllegalReason::OtherRun { found: "other".into() }),
        (with(&|event| event.kind = moves::run_start(&walk.model)), IllegalReason::AlreadyStarted),
    ];
    if let Some(early) = last.elapsed.checked_sub(Duration::from_nanos(1)) {
        let previous = last.elapsed;
        found.push((with(&|event| event.elapsed = early), IllegalReason::TimeWentBack { previous }));
    }
    let stranger = |event: &mut Event| {
        let act = Act::Start { attempt: 1 };
        event.kind = act.kind(StepRef::new("stranger"), false, &mut Rng::with_seed(1));
    };
    found.push((with(&stranger), IllegalReason::UnknownStep));
    found
}

/// Guards the generator: what it stops reaching, the properties stop testing.
#[test]
fn the_walks_go_everywhere() {
    let mut runner = TestRunner::deterministic();
    let (mut types, mut statuses, mut reasons) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut ran_again = HashSet::new();
    for _ in 0..60 {
        let script = scripts().new_tree(&mut runner).unwrap().current();
        let mut walk = Walk::begin(script.plan, script.forward);
        for seed in script.seeds {
            let mut random = Rng::with_seed(seed);
            if let Err(refused) = walk.model.judge(&walk.any(&mut random)) {
                reasons.extend(refused.iter().map(std::mem::discriminant));
            }
            let Some(next) = walk.legal(&mut random) else { break };
            if matches!(next, Move::Again { .. }) {
                ran_again.insert(walk.state.status());
            }
            walk.make(&next, &mut random).unwrap();
            statuses.insert(walk.state.status());
        }
        types.extend(walk.events.iter().map(Event::event_type));
    }
    assert_eq!(types.len(), 16, "{types:?}");
    assert_eq!(statuses.len(), 7, "{statuses:?}");
    let forward = [RunStatus::Running, RunStatus::Failed, RunStatus::Cancelled, RunStatus::Completed];
    assert_eq!(ran_again, HashSet::from(forward));
    // All but those of a first event, of the header and of a plan that is none, which have tests of their own.
    assert_eq!(reasons.len(), 12, "{reasons:?}");
}
