//! Whatever earlier runs took: an estimate is there, ends at nothing, and falls as the work is done.

#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test stops where it cannot go on")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Estimator, Took, ordered, took};
use crate::event::{Event, Kind, RunStart, StepEnd, StepRef, StepStart, StepStatus, StepUpdate};
use crate::graph::waits_for;
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{Plan, StepInfo};

const SECOND: u64 = 1_000_000_000;

fn plan(steps: usize) -> Plan {
    Plan::new("w", (0..steps).map(|index| StepInfo::new(format!("s{index}"), "S")).collect::<Vec<_>>())
}

fn begin(plan: &Plan) -> RunState {
    RunState::new(RunId::from("r"), plan.clone().into(), SystemTime::UNIX_EPOCH)
}

fn happen(state: &mut RunState, elapsed: u64, kind: &Kind) {
    let stamp = state.next_stamp(elapsed);
    let target = state.check(stamp, kind).unwrap();
    state.commit(stamp, kind, target);
}

fn reference(index: usize) -> StepRef {
    StepRef::new(format!("s{index}"))
}

fn start(state: &mut RunState, index: usize, elapsed: u64) {
    happen(state, elapsed, &Kind::StepStart(StepStart { step: reference(index), attempt: 1, interrupted: false }));
}

fn ended(index: usize, status: StepStatus, attempt: u32, took: u64) -> Kind {
    let duration = Duration::from_nanos(took);
    Kind::StepEnd(StepEnd {
        step: reference(index),
        status,
        reason: None,
        message: None,
        attempt,
        duration,
        attempt_duration: duration,
        error: None,
        output: None,
        secret: false,
        sealed: None,
    })
}

fn end(state: &mut RunState, index: usize, elapsed: u64) {
    let took = elapsed - nanos(state.steps()[index].started().unwrap());
    happen(state, elapsed, &ended(index, StepStatus::Completed, 1, took));
}

fn nanos(span: Duration) -> u64 {
    crate::time::nanos(span)
}

fn seconds(spans: &[u64]) -> Took {
    spans.iter().map(|span| Some(span * SECOND)).collect()
}

/// In seconds, to the hundredth.
fn remaining(estimator: &Estimator, state: &RunState) -> f64 {
    (estimator.remaining(state).unwrap().as_secs_f64() * 100.0).round() / 100.0
}

#[test]
fn what_remains_is_the_sum_of_the_medians() {
    let plan = plan(3);
    let runs = [seconds(&[1, 10, 5]), seconds(&[3, 20, 5]), seconds(&[2, 90, 5])];
    let estimator = Estimator::new(&plan, &runs).unwrap();
    let mut state = begin(&plan);
    assert_eq!(remaining(&estimator, &state), 27.0);

    start(&mut state, 0, 0);
    end(&mut state, 0, 2 * SECOND);
    start(&mut state, 1, 2 * SECOND);
    assert_eq!(remaining(&estimator, &state), 25.0, "it takes as long as the others did");
}

#[test]
fn a_run_that_is_slow_is_expected_to_stay_so_but_less() {
    let plan = plan(2);
    let estimator = Estimator::new(&plan, &[seconds(&[10, 10])]).unwrap();
    let mut state = begin(&plan);
    start(&mut state, 0, 0);
    end(&mut state, 0, 20 * SECOND);
    // Twice as long for half of the work; the earlier runs count as a quarter of it: (20 + 5) / (10 + 5).
    assert_eq!(remaining(&estimator, &state), 16.67);
}

#[test]
fn a_step_without_a_history_counts_by_its_weight_beside_the_others() {
    let mut plan = plan(3);
    plan.steps[2].weight = 3.0;
    let estimator = Estimator::new(&plan, &[vec![Some(4 * SECOND), Some(6 * SECOND), None]]).unwrap();
    assert_eq!(remaining(&estimator, &begin(&plan)), 4.0 + 6.0 + 15.0);
}

#[test]
fn no_history_tells_nothing() {
    assert!(Estimator::new(&plan(2), &[]).is_none());
    assert!(Estimator::new(&plan(2), &[vec![None, None]]).is_none());
    assert!(Estimator::new(&plan(0), &[vec![]]).is_none());
}

#[test]
fn a_step_that_tells_how_far_it_is_is_believed_the_more_the_further_it_is() {
    let plan = plan(1);
    let estimator = Estimator::new(&plan, &[seconds(&[100])]).unwrap();
    let mut state = begin(&plan);
    start(&mut state, 0, 0);
    let news = StepUpdate {
        step: reference(0),
        fraction: Some(0.5),
        level: None,
        message: None,
        metadata: serde_json::Map::default(),
        thinned: 0,
    };
    happen(&mut state, 20 * SECOND, &Kind::StepUpdate(Box::new(news)));
    // 20 s by itself; by the history 60 s in all at the pace that it shows, of which 20 s are over.
    assert_eq!(remaining(&estimator, &state), 30.0);
}

#[test]
fn a_step_that_takes_too_long_keeps_a_rest() {
    let plan = plan(1);
    let estimator = Estimator::new(&plan, &[seconds(&[10])]).unwrap();
    let mut state = begin(&plan);
    start(&mut state, 0, 0);
    happen(&mut state, 60 * SECOND, &Kind::Stdout(crate::event::OutputLine { step: reference(0), line: "..".into() }));
    assert_eq!(remaining(&estimator, &state), 1.0);
}

#[test]
fn steps_beside_each_other_count_as_the_longest_way() {
    let mut plan = plan(4);
    plan.parallel = true;
    plan.steps[2].needs = vec!["s0".to_owned()];
    plan.steps[3].needs = vec!["s1".to_owned(), "s2".to_owned()];
    let estimator = Estimator::new(&plan, &[seconds(&[2, 7, 3, 1])]).unwrap();
    assert_eq!(remaining(&estimator, &begin(&plan)), 8.0);
}

#[test]
fn the_events_of_a_run_tell_what_its_steps_took() {
    let plan = plan(3);
    let event = |kind| Event {
        v: 1,
        run: RunId::from("r"),
        workflow: "w".into(),
        seq: 1,
        at: SystemTime::UNIX_EPOCH,
        elapsed: Duration::ZERO,
        kind,
        progress: None,
    };
    let started = |plan: Plan| {
        let start = RunStart { plan: plan.into(), parent: None, forked: None, labels: BTreeMap::new(), input: None };
        event(Kind::RunStart(Box::new(start)))
    };
    let worked = event(ended(0, StepStatus::Completed, 2, 5));
    let skipped = event(ended(1, StepStatus::Skipped, 0, 0));
    let mut copied = ended(2, StepStatus::Completed, 0, 9);
    if let Kind::StepEnd(end) = &mut copied {
        end.reason = Some(crate::event::Reason::Forked);
    }
    let events = [started(plan.clone()), worked, skipped, event(copied)];
    assert_eq!(took(&plan, &events), Some(vec![Some(5), None, None]));

    let mut other = plan.clone();
    other.steps[2].id = "other".to_owned();
    assert_eq!(took(&other, &events), None);
    other.clone_from(&plan);
    other.steps[2].weight = 9.0;
    assert_eq!(took(&other, &events), Some(vec![Some(5), None, None]), "the same steps by other rules");
}

#[derive(Debug, Clone)]
struct Scene {
    plan: Plan,
    runs: Vec<Took>,
    actual: Vec<u64>,
}

fn scenes() -> impl Strategy<Value = Scene> {
    (1..9_usize, any::<bool>()).prop_flat_map(|(steps, parallel)| {
        let span = 1..1_000_000_000_u64;
        let took = proptest::collection::vec(proptest::option::weighted(0.8, span.clone()), steps);
        let needs = proptest::collection::vec(any::<u8>(), steps);
        let weights = proptest::collection::vec(1..20_u8, steps);
        let runs = proptest::collection::vec(took, 0..6);
        (runs, proptest::collection::vec(span, steps), needs, weights).prop_map(
            move |(runs, actual, needs, weights)| {
                let mut plan = plan(steps);
                plan.parallel = parallel;
                for (index, step) in plan.steps.iter_mut().enumerate() {
                    step.weight = f64::from(weights[index]);
                    let before = (0..index).filter(|before| parallel && needs[index] & (1 << before) != 0);
                    step.needs = before.map(|before| format!("s{before}")).collect();
                }
                Scene { plan, runs, actual }
            },
        )
    })
}

/// Runs one step after the other; the estimates after each end.
fn walk(scene: &Scene, estimator: &Estimator, spans: &[u64]) -> Vec<Option<Duration>> {
    let mut state = begin(&scene.plan);
    let mut now = 0;
    let mut estimates = vec![estimator.remaining(&state)];
    for (index, span) in spans.iter().enumerate() {
        start(&mut state, index, now);
        estimates.push(estimator.remaining(&state));
        now += span;
        end(&mut state, index, now);
        estimates.push(estimator.remaining(&state));
    }
    estimates
}

proptest! {
    #[test]
    fn an_estimate_is_there_from_first_to_last_and_ends_at_nothing(scene in scenes()) {
        let Some(estimator) = Estimator::new(&scene.plan, &scene.runs) else { return Ok(()) };
        let estimates = walk(&scene, &estimator, &scene.actual);
        prop_assert!(estimates.iter().all(Option::is_some), "{estimates:?}");
        prop_assert_eq!(*estimates.last().unwrap(), Some(Duration::ZERO));
        prop_assert!(estimates[0] > Some(Duration::ZERO));
    }

    #[test]
    fn where_all_goes_as_expected_each_step_takes_off_what_it_took(scene in scenes()) {
        let Some(estimator) = Estimator::new(&scene.plan, &scene.runs) else { return Ok(()) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let spans: Vec<u64> = estimator.expected.iter().map(|span| span.round() as u64).collect();
        let estimates = walk(&scene, &estimator, &spans);
        for pair in estimates.windows(2) {
            prop_assert!(pair[1].unwrap() <= pair[0].unwrap() + Duration::from_micros(1), "{estimates:?}");
        }
        if !scene.plan.parallel {
            let sum: u64 = spans.iter().sum();
            let first = estimates[0].unwrap();
            prop_assert!(first.abs_diff(Duration::from_nanos(sum)) < Duration::from_micros(1), "{first:?} for {sum}");
        }
    }

    #[test]
    fn on_the_way_each_step_stands_behind_what_it_waits_for(scene in scenes()) {
        let waits_for = waits_for(&scene.plan);
        let order = ordered(&waits_for);
        prop_assert_eq!(order.len(), scene.plan.steps.len());
        for (place, index) in order.iter().enumerate() {
            prop_assert!(waits_for[*index].iter().all(|before| order[..place].contains(before)));
        }
    }
}
