//! Each difference, in data and in words.

use std::time::Duration;

use serde_json::json;

use super::{PlanDiff, PlanDifference};
use crate::policy::{OnFailure, Retry};
use crate::workflow::{Plan, StepInfo};

fn chain() -> Plan {
    Plan::new("deploy", ["fetch", "build", "test"].map(|id| StepInfo::new(id, id)))
}

fn changed(change: impl FnOnce(&mut Plan)) -> PlanDiff {
    between(chain(), change)
}

fn between(old: Plan, change: impl FnOnce(&mut Plan)) -> PlanDiff {
    let mut new = old.clone();
    change(&mut new);
    assert_eq!(new.check(), Ok(()));
    PlanDiff::between(&old, &new)
}

fn with(change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = chain();
    change(&mut plan);
    plan
}

fn rename(step: &mut StepInfo, id: &str) {
    step.aliases.push(std::mem::replace(&mut step.id, id.to_owned()));
}

fn lines(diff: &PlanDiff) -> Vec<String> {
    diff.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_changed() {
    let diff = changed(|_| {});
    assert_eq!((diff.is_empty(), diff.is_breaking(), diff.to_string().as_str()), (true, false, ""));
    assert_eq!(json!(diff), json!({"workflow": "deploy", "differences": []}));
}

#[test]
fn a_step_at_the_end_is_new_and_one_before_others_is_breaking() {
    let diff = changed(|plan| plan.steps.push(StepInfo::new("sign", "Sign")));
    assert_eq!(diff.differences, [PlanDifference::Added { step: "sign".to_owned(), before: None }]);
    assert_eq!(lines(&diff), ["step `sign` is new"]);
    let diff = changed(|plan| plan.steps.insert(1, StepInfo::new("lint", "Lint")));
    assert_eq!(lines(&diff), ["breaking: step `lint` is new and comes before `build`, which a run may have settled"]);
    let diff = between(with(|plan| plan.parallel = true), |plan| plan.steps.insert(0, StepInfo::new("lint", "Lint")));
    assert_eq!(lines(&diff), ["step `lint` is new"]);
}

#[test]
fn steps_that_are_gone_or_change_places() {
    let diff = changed(|plan| {
        plan.steps.remove(1);
        plan.steps.swap(0, 1);
    });
    assert_eq!(
        lines(&diff),
        [
            "breaking: step `build` is gone (if it was renamed, give it `alias = \"build\"`)",
            "breaking: step `test` now comes before `fetch`",
        ]
    );
    assert!(between(with(|plan| plan.parallel = true), |plan| plan.steps.swap(0, 2)).is_empty());
}

#[test]
fn a_step_that_is_renamed_again_keeps_both_of_its_old_ids() {
    let once = with(|plan| rename(&mut plan.steps[1], "compile"));
    assert_eq!(lines(&PlanDiff::between(&chain(), &once)), ["step `build` is called `compile` now"]);
    let twice = between(once.clone(), |plan| rename(&mut plan.steps[1], "make"));
    assert_eq!(lines(&twice), ["step `compile` is called `make` now"]);
    let forgotten = between(once.clone(), |plan| {
        plan.steps[1].id = "make".to_owned();
        plan.steps[1].aliases = vec!["compile".to_owned()];
    });
    assert_eq!(
        lines(&forgotten),
        [
            "step `compile` is called `make` now",
            "breaking: step `make` is not found by its old id `build` any more (keep the alias, and the id \
             that it had last with `id = ..`)",
        ]
    );
    let turned = between(once, |plan| {
        plan.steps[1].id = "make".to_owned();
        plan.steps[1].aliases = ["compile", "build"].map(str::to_owned).into();
    });
    assert_eq!(
        lines(&turned)[1..],
        ["breaking: the first id of step `make` is `compile` now, not `build`, from which its idempotency keys and \
          the ids of the runs inside of it were made"]
    );
}

#[test]
fn a_needed_step_that_was_renamed_is_no_other_need() {
    let graph = with(|plan| {
        plan.parallel = true;
        plan.steps[2].needs = vec!["build".to_owned()];
    });
    let renamed = between(graph.clone(), |plan| {
        rename(&mut plan.steps[1], "compile");
        plan.steps[2].needs = vec!["compile".to_owned()];
    });
    assert_eq!(lines(&renamed), ["step `build` is called `compile` now"]);
    let more = between(graph, |plan| plan.steps[2].needs.push("fetch".to_owned()));
    assert_eq!(lines(&more), ["step `test`: needs was [\"build\"], is [\"build\",\"fetch\"]"]);
}

#[test]
fn rules_have_an_old_and_a_new_value() {
    let old = with(|plan| {
        plan.steps[0].timeout = Some(Duration::from_secs(90));
        plan.steps[1].retry = Some(Retry::new(3));
    });
    let diff = between(old, |plan| {
        plan.on_failure = OnFailure::Rollback;
        plan.deadline = Some(Duration::from_secs(3600));
        plan.steps[0].timeout = Some(Duration::from_secs(300));
        plan.steps[0].description = "Get it".to_owned();
        plan.steps[1].retry = plan.steps[1].retry.map(|retry| Retry { attempts: 5, ..retry });
        plan.steps[2].undo = true;
        plan.steps[2].retry = Some(Retry::new(2));
    });
    assert_eq!(
        lines(&diff),
        [
            "deadline was none, is 1h",
            "on_failure was \"stop\", is \"rollback\"",
            "step `fetch`: description was none, is \"Get it\"",
            "step `fetch`: timeout was 1m 30s, is 5m",
            "step `build`: retry.attempts was 3, is 5",
            "step `test`: retry was none, is (attempts 2, delay 1s, factor 2.0, jitter true)",
            "step `test`: undo was false, is true",
        ]
    );
    let timeout = PlanDifference::Rule {
        step: "fetch".to_owned(),
        rule: "timeout_ms".to_owned(),
        old: json!(90_000.0),
        new: json!(300_000.0),
    };
    assert_eq!(diff.differences[3], timeout);
    assert!(!diff.is_breaking() && !diff.is_of_record());
}

#[test]
fn an_output_that_runs_may_lack_is_breaking() {
    let breaks = |old: fn(&mut StepInfo), new: fn(&mut StepInfo)| {
        let diff = between(with(|plan| old(&mut plan.steps[0])), |plan| new(&mut plan.steps[0]));
        assert!(diff.is_of_record());
        diff.breaking().map(ToString::to_string).collect::<Vec<_>>()
    };
    let missing = ["step `fetch` must have an output now, and a run may have settled it without one"];
    assert_eq!(breaks(|_| {}, |step| step.output = true), missing);
    let skippable = |step: &mut StepInfo| (step.output, step.skippable) = (true, true);
    assert_eq!(breaks(skippable, |step| step.skippable = false), missing);
    let warns = |step: &mut StepInfo| (step.output, step.critical) = (true, false);
    assert_eq!(breaks(warns, |step| step.critical = true), missing);
    assert!(breaks(warns, |step| step.output = false).is_empty());
    assert!(breaks(|step| step.output = true, |step| step.critical = false).is_empty());
}

#[test]
fn a_graph_cannot_become_a_sequence() {
    let diff = between(with(|plan| plan.parallel = true), |plan| plan.parallel = false);
    assert_eq!(
        lines(&diff),
        [
            "breaking: the steps run one after the other now, and a run may have settled them in another order",
            "parallel was true, is false",
        ]
    );
    assert!(!changed(|plan| plan.parallel = true).is_breaking());
}

#[test]
fn a_run_belongs_to_the_workflow_that_it_names() {
    let diff = changed(|plan| plan.workflow = "release".to_owned());
    assert_eq!(lines(&diff), ["breaking: the workflow is `release` now, not `deploy`"]);
}

#[test]
fn what_runs_inside_of_a_step_is_compared_as_well() {
    let inside = |plan: &mut Plan, inner: Plan| plan.steps[1].nested = Some(inner.into());
    let outer = with(|plan| inside(plan, chain()));
    let diff = between(outer.clone(), |plan| {
        inside(
            plan,
            with(|inner| {
                inner.steps.remove(0);
                inner.steps.push(StepInfo::new("sign", "Sign"));
            }),
        );
    });
    assert!(
        matches!(&diff.differences[..], [PlanDifference::Nested { step, diff }] if step == "build" && diff.is_breaking())
    );
    let gone = "inside of step `build`: step `fetch` is gone (if it was renamed, give it `alias = \"fetch\"`)";
    assert_eq!(lines(&diff), [&format!("breaking: {gone}"), "inside of step `build`: step `sign` is new"]);
    assert_eq!(diff.differences[0].to_string(), format!("{gone}\ninside of step `build`: step `sign` is new"));

    let lost = between(outer, |plan| plan.steps[1].nested = None);
    assert_eq!(lines(&lost), ["breaking: workflow `deploy` does not run inside of step `build` any more"]);
    let added = changed(|plan| inside(plan, chain()));
    assert_eq!(lines(&added), ["workflow `deploy` runs inside of step `build` now"]);
}
