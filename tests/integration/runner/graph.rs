//! Which steps run, in which order, and what a step that does not run is on record as.

use std::sync::Arc;

use step_machine::event::{Event, Kind, RunStatus, StepStatus};
use step_machine::{Cause, RunState};

use super::{Act::*, Acts, Diamond, Line, about, ended, line, statuses};
use crate::support::Recorded;

#[tokio::test]
async fn a_sequence_runs_in_declared_order() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    let report = Line::run(&acts).id("r").observe(seen.clone()).await.unwrap();
    assert_eq!(
        seen.lines(),
        [
            "run_start",
            "step_start fetch",
            "step_end fetch completed",
            "step_start build",
            "step_end build completed",
            "step_start scan",
            "step_end scan completed",
            "step_start announce",
            "step_end announce completed",
            "step_start deploy",
            "step_end deploy completed",
            "step_start check",
            "step_end check completed",
            "run_end completed",
        ]
    );
    assert_eq!(
        acts.calls(),
        ["fetch", "build with 7", "build", "scan", "skip announce", "announce", "deploy", "check"]
    );
    assert_eq!(RunState::fold(&seen.events()).unwrap().as_ref(), Some(report.state()));
}

#[tokio::test(start_paused = true)]
async fn a_parallel_step_waits_only_for_what_it_needs() {
    let acts = Acts::new().on("apart", [After(1, &Done)]).on("right", [After(2, &Done)]).on("left", [After(3, &Done)]);
    let seen = Recorded::new();
    let report = Diamond::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(
        seen.lines(),
        [
            "run_start",
            "step_start fetch",
            "step_end fetch completed",
            "step_start apart",
            "step_start left",
            "step_start right",
            "step_end apart completed",
            "step_end right completed",
            "step_end left completed",
            "step_start join",
            "step_end join completed",
            "run_end completed",
        ]
    );
    assert_eq!(acts.called("join with 14"), 1);
    assert_eq!(RunState::fold(&seen.events()).unwrap().as_ref(), Some(report.state()));
}

/// How many steps ran at once at most.
fn peak(events: &[Event]) -> usize {
    let (mut running, mut peak) = (0, 0);
    for event in events {
        match event.kind {
            Kind::StepStart(ref start) if start.attempt == 1 => running += 1,
            Kind::StepEnd(_) => running -= 1,
            _ => {}
        }
        peak = running.max(peak);
    }
    peak
}

fn slow() -> Acts {
    let slow = [After(1, &Done)];
    let acts = Acts::new().on("fetch", slow).on("left", [After(2, &Refuse)]).on("right", slow);
    acts.on("join", slow).on("apart", [After(4, &Done)])
}

#[tokio::test(start_paused = true)]
async fn the_outcome_does_not_depend_on_how_many_run_at_once_nor_on_who_polls_them() {
    let limits = [Some(1), Some(2), Some(3), None];
    let mut outcomes = Vec::new();
    for (limit, most) in limits.into_iter().zip([1, 2, 3, 3]) {
        for is_shared in [false, true] {
            let (acts, seen) = (slow(), Recorded::new());
            let report = if is_shared {
                let run = Diamond::run(Arc::new(acts)).observe(seen.clone());
                limit.into_iter().fold(run, step_machine::Runner::max_parallel).await
            } else {
                let run = Diamond::run(&acts).observe(seen.clone());
                limit.into_iter().fold(run, step_machine::Runner::max_parallel).await
            };
            let report = report.unwrap();
            assert_eq!(peak(&seen.events()), most, "{limit:?} {:?}", seen.lines());
            let step = |step: &step_machine::StepState| (step.status(), step.attempts(), step.output().cloned());
            outcomes.push(report.state().steps().iter().map(step).collect::<Vec<_>>());
        }
    }
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[0][1], (StepStatus::Completed, 2, None));
    assert_eq!(outcomes[0][2], (StepStatus::Completed, 1, Some(14.into())));
}

#[tokio::test]
async fn a_step_that_is_not_critical_fails_alone() {
    let (acts, seen) = (Acts::new().on("scan", [Refuse]), Recorded::new());
    let report = Line::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(about(&seen, "scan"), ["step_start", "step_end skipped, failed: network"]);
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Line::Scan]);
    assert_eq!(report.state().step("scan").unwrap().error().unwrap().message, "connection refused");
    assert_eq!(seen.lines().last().unwrap(), "run_end completed, warnings: 1");
}

#[tokio::test]
async fn a_critical_failure_stops_the_run() {
    let (acts, seen) = (Acts::new().on("deploy", [Refuse]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!(failure.step(), Some(Line::Deploy));
    assert_eq!(failure.context().kind(), "network");
    assert_eq!(failure.context().never_ran().collect::<Vec<_>>(), [Line::Check]);
    assert_eq!(ended(&failure, &seen), RunStatus::Failed);
    assert_eq!(acts.called("check"), 0);
    assert!(acts.calls().iter().all(|call| !call.starts_with("undo")), "{:?}", acts.calls());
}

#[tokio::test]
async fn the_handler_skips_a_step_and_says_why() {
    let (acts, seen) = (Acts::new().on("skip announce", [Skip]), Recorded::new());
    let report = Line::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(about(&seen, "announce"), ["step_end skipped: nobody is awake"]);
    assert_eq!(report.state().step("announce").unwrap().skipped_because(), Some("nobody is awake"));
    assert_eq!(report.warnings().count(), 0);
    assert_eq!(acts.called("announce"), 0);
}

#[tokio::test]
async fn what_is_skipped_from_outside_is_not_asked_about() {
    let (acts, seen) = (Acts::new().on("skip announce", [Panic]), Recorded::new());
    let run = Line::run(&acts).skip(line::Announce, "first").skip(line::Announce, "not today");
    run.observe(seen.clone()).await.unwrap();
    assert_eq!(about(&seen, "announce"), ["step_end skipped: not today"]);
    assert_eq!(acts.called("skip announce"), 0);
}

#[tokio::test]
async fn an_error_of_the_skip_method_fails_the_step_and_is_not_tried_again() {
    let (acts, seen) = (Acts::new().on("skip announce", [Refuse]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!(about(&seen, "announce"), ["step_start", "step_end failed: network"]);
    assert_eq!((failure.step(), acts.called("skip announce")), (Some(Line::Announce), 1));
    assert_eq!((acts.called("announce"), acts.called("deploy")), (0, 0));
}

#[tokio::test]
async fn a_panic_of_a_body_is_a_failure_with_its_message() {
    for (place, step) in [("build", Line::Build), ("skip announce", Line::Announce), ("check", Line::Check)] {
        let (acts, seen) = (Acts::new().on(place, [Panic]), Recorded::new());
        let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
        let Cause::Panic { message } = failure.cause() else { panic!("{failure:?}") };
        assert_eq!(*message, format!("{place} is out of memory"));
        assert_eq!((failure.step(), failure.context().kind()), (Some(step), "panic"));
        assert_eq!(ended(&failure, &seen), RunStatus::Failed);
        assert_eq!(
            about(&seen, failure.context().record().step.as_ref().unwrap().id()).last().unwrap(),
            "step_end failed, panicked"
        );
        assert_eq!(acts.called(place), 1, "it is not tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_of_several_leaves_the_others_to_their_ends() {
    let several =
        || Acts::new().on("left", [After(1, &Panic)]).on("right", [After(2, &Done)]).on("apart", [After(2, &Done)]);
    for is_shared in [false, true] {
        let (acts, seen) = (several(), Recorded::new());
        let failure = if is_shared {
            Diamond::run(Arc::new(acts)).observe(seen.clone()).await.unwrap_err()
        } else {
            Diamond::run(&acts).observe(seen.clone()).await.unwrap_err()
        };
        assert_eq!(failure.step(), Some(Diamond::Left));
        use StepStatus::{Completed, Failed, Pending};
        assert_eq!(statuses(failure.state().unwrap()), [Completed, Failed, Completed, Pending, Completed]);
        assert_eq!(ended(&failure, &seen), RunStatus::Failed);
    }
}

#[tokio::test]
async fn a_plan_runs_nothing_and_shows_what_is_skipped() {
    let acts = Acts::new();
    let preview = Diamond::run(&acts).plan();
    assert_eq!(preview.waves(), [vec!["fetch", "apart"], vec!["left", "right"], vec!["join"]]);
    let preview = Line::run(&acts).skip(line::Announce, "quiet").only_until(Line::Announce).plan();
    assert_eq!(preview.waves(), [["fetch"], ["build"], ["scan"]]);
    assert_eq!(acts.calls(), Vec::<String>::new());
}
