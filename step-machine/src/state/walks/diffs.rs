//! What two plans differ in, against what runs of the older one say to the newer one.

use fastrand::Rng;
use proptest::prelude::*;

use super::edit::Edit;
use super::generator::{Walk, plans, scripts};
use super::model::Model;
use super::moves::{Act, Move};
use crate::event::StepStatus;
use crate::plan_diff::{PlanDiff, PlanDifference};
use crate::policy::{OnFailure, Retry};
use crate::state::PlanChange;
use crate::workflow::{Plan, StepInfo};

/// The plan after some changes, one after the other.
fn edited(plan: &Plan, count: usize, random: &mut Rng) -> Plan {
    (0..count).fold(plan.clone(), |plan, _| changed(plan, random))
}

fn changed(mut plan: Plan, random: &mut Rng) -> Plan {
    if random.bool() {
        let edits = Edit::all(&Model::new(plan.clone()), random);
        return random.choice(edits).unwrap().edited(&plan).0;
    }
    let Some(step) = random.choice(&mut plan.steps) else { return plan };
    match random.u8(..6) {
        0 => step.output = !step.output,
        1 => step.critical = !step.critical,
        2 => step.skippable = !step.skippable,
        3 => _ = step.aliases.pop(),
        4 => step.aliases.insert(0, format!("old-{}", random.u32(..))),
        _ => step.nested = step.nested.take().xor(Some(Plan::new("inner", [StepInfo::new("a", "A")]).into())),
    }
    plan
}

/// The plan with other rules that no run depends on.
fn ruled(plan: &Plan, random: &mut Rng) -> Plan {
    let mut plan = plan.clone();
    plan.on_failure = if random.bool() { OnFailure::Stop } else { OnFailure::Rollback };
    for step in &mut plan.steps {
        step.undo = random.bool();
        step.retry = random.bool().then(|| Retry::new(7));
        step.weight += 1.0;
    }
    plan
}

/// A run that has completed all of its steps, and was not ended.
fn settled(plan: Plan) -> Walk {
    let mut walk = Walk::begin(plan, usize::MAX);
    let random = &mut Rng::with_seed(1);
    let next = |walk: &Walk| {
        let start = |at| Move::Step(at, Act::Start { attempt: 1 });
        (0..walk.model.lives.len()).find(|&at| walk.model.judge(&start(at)).is_ok()).map(|at| (at, start(at)))
    };
    while let Some((at, start)) = next(&walk) {
        walk.make(&start, random).unwrap();
        let end = Act::End { status: StepStatus::Completed, reason: None, attempt: 1 };
        walk.make(&Move::Step(at, end), random).unwrap();
    }
    walk
}

/// What keeps a run from going on, and what says the same in a diff.
fn refused(change: PlanChange) -> String {
    match change {
        PlanChange::Lost { step } => format!("lost {step}"),
        PlanChange::Reordered { first, second } => format!("{second} before {first}"),
        PlanChange::Inserted { step, .. } => format!("new {step}"),
    }
}

fn breaking(difference: &PlanDifference) -> Option<String> {
    match difference {
        PlanDifference::Lost { step } => Some(format!("lost {step}")),
        PlanDifference::Reordered { first, second } => Some(format!("{second} before {first}")),
        PlanDifference::Added { step, before: Some(_) } => Some(format!("new {step}")),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_plan_does_not_differ_from_itself(plan in plans()) {
        prop_assert!(PlanDiff::between(&plan, &plan).is_empty());
        let read: Plan = serde_json::from_str(&serde_json::to_string_pretty(&plan).unwrap()).unwrap();
        prop_assert!(PlanDiff::between(&read, &plan).is_empty());
    }

    #[test]
    fn a_run_that_settled_everything_refuses_what_is_breaking_and_nothing_else(plan in plans(), seed: u64, count in 1..6_usize) {
        let new = edited(&plan, count, &mut Rng::with_seed(seed));
        let diff = PlanDiff::between(&plan, &new);
        let mut found: Vec<_> = settled(plan).state.plan_changes(&new).into_iter().map(refused).collect();
        let mut told: Vec<_> = diff.breaking().filter_map(breaking).collect();
        found.sort();
        told.sort();
        prop_assert_eq!(found, told, "{}", diff);
        let read: PlanDiff = serde_json::from_str(&serde_json::to_string(&diff).unwrap()).unwrap();
        prop_assert_eq!(read, diff);
    }

    #[test]
    fn a_plan_that_breaks_nothing_fits_a_run_wherever_it_stands(script in scripts(), seed: u64, count in 1..4_usize) {
        let first = script.plan.clone();
        let walk = Walk::to_the_end(script)?;
        // Also a run that changed its plan on the way.
        for plan in [&first, walk.state.plan()] {
            let new = edited(plan, count, &mut Rng::with_seed(seed));
            let changes = walk.state.plan_changes(&new);
            let all = [PlanDiff::between(&first, walk.state.plan()), PlanDiff::between(walk.state.plan(), &new)];
            prop_assert!(changes.is_empty() || all.iter().any(PlanDiff::is_breaking), "{:?}", changes);
        }
    }

    #[test]
    fn what_fits_step_by_step_fits_as_a_whole(plan in plans(), seed: u64) {
        let random = &mut Rng::with_seed(seed);
        let mut versions = vec![plan];
        for _ in 0..24 {
            let last = versions.last().unwrap();
            let next = changed(last.clone(), random);
            if !PlanDiff::between(last, &next).is_breaking() {
                versions.push(next);
            }
        }
        let last = versions.last().unwrap();
        for version in &versions {
            let diff = PlanDiff::between(version, last);
            prop_assert!(!diff.is_breaking(), "{}", diff);
        }
    }

    #[test]
    fn a_snapshot_with_older_rules_judges_as_a_new_one_does(plan in plans(), seed: u64, count in 1..6_usize) {
        let random = &mut Rng::with_seed(seed);
        let now = ruled(&plan, random);
        prop_assert!(!PlanDiff::between(&plan, &now).is_of_record());
        let later = edited(&now, count, random);
        let (stale, fresh) = (PlanDiff::between(&plan, &later), PlanDiff::between(&now, &later));
        prop_assert_eq!(stale.breaking().collect::<Vec<_>>(), fresh.breaking().collect::<Vec<_>>());
    }
}
