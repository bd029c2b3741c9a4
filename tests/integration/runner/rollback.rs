//! Taking back what a run did.

use std::sync::Arc;
use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::{Cause, Failure, JournalError, MemoryJournal, OnFailure, RunState, Runner};
use tokio::time::Instant;

use super::{Act::*, Acts, Diamond, Line, about, ended, since, statuses};
use crate::support::{Recorded, Trouble};

fn back<'h>(acts: &'h Acts, seen: &Recorded) -> Runner<'h, Line, &'h Acts> {
    Line::run(acts).id("r").on_failure(OnFailure::Rollback).observe(seen.clone())
}

/// The undos on record, as step, status and the error's kind or the message.
fn undos(failure: &Failure<Line, Trouble>) -> Vec<String> {
    let rollback = failure.context().record().rollback.as_ref().unwrap();
    let told = rollback.undos.iter().map(|undo| {
        let why = undo.error.as_ref().map(|error| error.kind.to_string()).or(undo.message.clone());
        format!("{} {}{}", undo.step, undo.status, why.map(|why| format!(": {why}")).unwrap_or_default())
    });
    told.collect()
}

fn undone(acts: &Acts) -> Vec<String> {
    acts.calls().into_iter().filter(|call| call.starts_with("undo")).collect()
}

#[tokio::test]
async fn what_began_is_undone_newest_first() {
    let (acts, seen) = (Acts::new().on("scan", [Refuse]).on("check", [Refuse]), Recorded::new());
    let failure = back(&acts, &seen).await.unwrap_err();
    assert_eq!(
        since(&seen, "step_end check"),
        [
            "step_end check failed: network",
            "undo_start deploy",
            "undo_end deploy undone",
            "undo_start scan",
            "undo_end scan undone",
            "undo_start build",
            "undo_end build undone",
            "undo_start fetch",
            "undo_end fetch undone",
            "run_end rolled_back, warnings: 1",
        ]
    );
    assert_eq!((failure.step(), failure.context().kind()), (Some(Line::Check), "network"));
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
    assert_eq!(undos(&failure), ["deploy undone", "scan undone", "build undone", "fetch undone"]);
    assert_eq!(failure.context().record().rollback.as_ref().unwrap().status, RunStatus::RolledBack);
    assert_eq!(acts.called("Some(7)"), 1, "{:?}", acts.calls());
}

#[tokio::test]
async fn a_step_that_failed_half_way_is_undone_without_an_output() {
    let (acts, seen) = (Acts::new().on("fetch", [Refuse]), Recorded::new());
    let failure = back(&acts, &seen).await.unwrap_err();
    assert_eq!(acts.calls(), ["fetch", "None", "undo fetch"]);
    assert_eq!(failure.state().unwrap().step("fetch").unwrap().before_undo(), Some(StepStatus::Failed));
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panicked_or_took_too_long_is_undone() {
    for act in [Panic, Hang] {
        let (acts, seen) = (Acts::new().on("build", [act; 3]), Recorded::new());
        let failure = back(&acts, &seen).await.unwrap_err();
        assert_eq!(undos(&failure), ["build undone", "fetch undone"], "{act:?}");
        assert_eq!(failure.step(), Some(Line::Build));
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ran_or_was_skipped_is_not_undone() {
    let (acts, seen) = (Acts::new().on("build", [Fatal]), Recorded::new());
    let failure = back(&acts, &seen).await.unwrap_err();
    assert_eq!(undone(&acts), ["undo build", "undo fetch"]);
    assert_eq!(failure.context().never_ran().count(), 4);
}

#[tokio::test(start_paused = true)]
async fn siblings_end_before_anything_is_undone() {
    for is_shared in [false, true] {
        let acts =
            Acts::new().on("left", [After(1, &Fatal)]).on("right", [After(3, &Done)]).on("apart", [After(2, &Done)]);
        let (acts, seen) = (Arc::new(acts), Recorded::new());
        let failure = if is_shared {
            Diamond::run(acts.clone()).on_failure(OnFailure::Rollback).observe(seen.clone()).await
        } else {
            Diamond::run(&*acts).on_failure(OnFailure::Rollback).observe(seen.clone()).await
        };
        let failure = failure.unwrap_err();
        assert_eq!(
            since(&seen, "step_end left"),
            [
                "step_end left failed: template",
                "step_end apart completed",
                "step_end right completed",
                "undo_start right",
                "undo_end right undone",
                "undo_start left",
                "undo_end left undone",
                "undo_start apart",
                "undo_end apart undone",
                "undo_start fetch",
                "undo_end fetch undone",
                "run_end rolled_back",
            ]
        );
        assert_eq!(failure.step(), Some(Diamond::Left));
        assert_eq!(acts.called("Some(14)"), 1, "the output of a step that completed late is there");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_follows_the_retry_rule_and_the_timeout_of_its_step() {
    let acts = Acts::new().on("check", [Refuse]).on("undo build", [Refuse, Hang]);
    let (seen, began) = (Recorded::new(), Instant::now());
    let failure = back(&acts, &seen).await.unwrap_err();
    assert_eq!(
        since(&seen, "undo_start build")[..6],
        [
            "undo_start build",
            "step_retry build in 1s after network",
            "undo_start build #2",
            "step_retry build #2 in 2s after timeout",
            "undo_start build #3",
            "undo_end build undone",
        ]
    );
    assert_eq!(began.elapsed().as_secs(), 1 + 10 + 2);
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_leaves_the_run_stuck_and_the_others_run() {
    let acts = Acts::new().on("check", [Refuse]).on("undo scan", [Fatal]).on("undo build", [Hang; 3]);
    let (acts, seen) = (acts.on("undo fetch", [Panic]), Recorded::new());
    let failure = back(&acts, &seen).await.unwrap_err();
    assert_eq!(
        undos(&failure),
        ["deploy undone", "scan undo_failed: template", "build undo_failed: timeout", "fetch undo_failed: panic"]
    );
    assert_eq!((failure.step(), failure.context().kind()), (Some(Line::Check), "network"), "the first error stays");
    assert_eq!(ended(&failure, &seen), RunStatus::Stuck);
    let rollback = failure.context().record().rollback.as_ref().unwrap();
    let message = &rollback.undos[3].error.as_ref().unwrap().message;
    assert_eq!((rollback.status, message.as_str()), (RunStatus::Stuck, "panicked: undo fetch is out of memory"));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_stuck_goes_on_under_the_same_id() {
    let journal = Arc::new(MemoryJournal::new());
    let acts = Acts::new().on("check", [Refuse]).on("undo scan", [Fatal, Fatal]).on("undo fetch", [Fatal]);
    let run = |seen: &Recorded| back(&acts, seen).journal(journal.clone());
    let failure = run(&Recorded::new()).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::Stuck);
    drop(failure);

    let seen = Recorded::new();
    let failure = run(&seen).await.unwrap_err();
    assert_eq!(
        seen.lines(),
        [
            "run_resume rollback",
            "undo_start scan #2",
            "undo_end scan undo_failed: template",
            "undo_start fetch #2",
            "undo_end fetch undone",
            "run_end stuck",
        ]
    );
    assert_eq!(failure.step(), Some(Line::Check));
    assert!(matches!(failure.cause(), Cause::Earlier { error } if error.message == "connection refused"));
    assert_eq!(failure.context().kind(), "network");

    let seen = Recorded::new();
    let failure = run(&seen).skip_undo(Line::Scan, "by hand").await.unwrap_err();
    assert_eq!(seen.lines(), ["run_resume rollback", "undo_end scan skipped: by hand", "run_end rolled_back"]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(undos(&failure), ["deploy undone", "scan skipped: by hand", "build undone", "fetch undone"]);

    let failure = run(&Recorded::new()).await.unwrap_err();
    let over = |error: &JournalError| matches!(error, JournalError::Over { status: RunStatus::RolledBack, .. });
    assert!(matches!(failure.cause(), Cause::Journal(error) if over(error)), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_out_of_time_is_rolled_back_without_a_limit() {
    let acts = Acts::new().on("scan", [Hang]).on("undo fetch", [After(60, &Done)]);
    let (seen, began) = (Recorded::new(), Instant::now());
    let failure = back(&acts, &seen).deadline(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Timeout { limit } if limit.as_secs() == 5), "{failure:?}");
    assert_eq!((ended(&failure, &seen), began.elapsed().as_secs()), (RunStatus::RolledBack, 65));
    assert_eq!(failure.step(), None, "a step that is not critical does not stop the run, its deadline does");
    assert_eq!(acts.called("deploy"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_out_of_time_is_stuck() {
    let acts = Acts::new().on("check", [Refuse]).on("undo build", [Hang]);
    let (seen, began) = (Recorded::new(), Instant::now());
    let failure = back(&acts, &seen).rollback_deadline(Duration::from_secs(4)).await.unwrap_err();
    assert_eq!(undos(&failure), ["deploy undone", "scan undone", "build undo_failed: timeout"]);
    assert_eq!((ended(&failure, &seen), began.elapsed().as_secs()), (RunStatus::Stuck, 4));
    assert_eq!(acts.called("undo fetch"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_cut_off_between_two_undos_is_stuck() {
    let acts = || Acts::new().on("check", [Refuse]).on("undo deploy", [After(4, &Done)]);
    for (is_cancelled, why) in [(true, "cancelled"), (false, "timeout")] {
        let (acts, seen) = (acts(), Recorded::new());
        // The undo ends at the moment in which the rollback is cut off.
        let run = back(&acts, &seen);
        let (moment, limit) = (tokio::time::sleep(Duration::from_secs(4)), Duration::from_secs(4));
        let run = if is_cancelled { run.cancel_on(moment) } else { run.rollback_deadline(limit) };
        let failure = run.await.unwrap_err();
        assert_eq!(failure.journal_error().map(ToString::to_string), None);
        assert_eq!(undos(&failure), ["deploy undone".to_owned(), format!("scan undo_failed: {why}")]);
        assert_eq!((ended(&failure, &seen), acts.called("undo scan")), (RunStatus::Stuck, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_to_stay_is_no_reason_to_be_stuck() {
    let (acts, seen) = (Acts::new().on("check", [Refuse]), Recorded::new());
    let run = back(&acts, &seen).skip_undo(Line::Deploy, "it is harmless").rollback_deadline(Duration::ZERO);
    let failure = run.await.unwrap_err();
    assert_eq!(failure.journal_error().map(ToString::to_string), None);
    assert_eq!((failure.step(), ended(&failure, &seen)), (Some(Line::Check), RunStatus::Stuck));
}

#[tokio::test(start_paused = true)]
async fn a_wait_between_undos_does_not_pass_the_limit_of_the_rollback() {
    let acts = Acts::new().on("check", [Refuse]).on("undo build", [Refuse; 3]);
    let (seen, began) = (Recorded::new(), Instant::now());
    let failure = back(&acts, &seen).rollback_deadline(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(about(&seen, "build").last().unwrap(), "undo_end undo_failed: network");
    assert_eq!((acts.called("undo build"), began.elapsed().as_secs()), (2, 1));
    assert_eq!(undos(&failure).last().unwrap(), "fetch undone");
}

#[tokio::test]
async fn with_the_policy_stop_nothing_is_undone_until_it_is_asked_for() {
    let (acts, seen) = (Acts::new().on("check", [Refuse]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!((undone(&acts).len(), ended(&failure, &seen)), (0, RunStatus::Failed));
    let earlier = seen.len();
    let mut asked = Vec::new();
    let failure = failure.rollback(|step, _| Ok::<_, Trouble>(asked.push(step)));
    assert_eq!(asked, [Line::Deploy, Line::Scan, Line::Build, Line::Fetch]);
    assert_eq!(seen.lines_after(earlier)[0], "run_resume rollback");
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
}

#[tokio::test]
async fn the_policy_that_was_set_is_on_record() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    let deadline = Duration::from_secs(77);
    let report = back(&acts, &seen).deadline(deadline).await.unwrap();
    let state = RunState::fold(&seen.events()).unwrap().unwrap();
    assert_eq!((state.plan().on_failure, state.plan().deadline), (OnFailure::Rollback, Some(deadline)));
    assert_eq!(state.plan(), report.state().plan());
    assert_eq!(back(&acts, &seen).plan().on_failure(), OnFailure::Rollback);
}

#[tokio::test]
async fn an_effect_that_is_to_stay_is_left_out_of_the_first_rollback_too() {
    let (acts, seen) = (Acts::new().on("check", [Refuse]), Recorded::new());
    let failure = back(&acts, &seen).skip_undo(Line::Build, "it is harmless").await.unwrap_err();
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
    assert_eq!(about(&seen, "build").last().unwrap(), "undo_end skipped: it is harmless");
    use StepStatus::{Completed, Failed, Undone};
    assert_eq!(statuses(failure.state().unwrap()), [Undone, Completed, Undone, Completed, Undone, Failed]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_last_step_fails_nothing_where_all_is_settled() {
    let acts = Acts::new().on("scan", [Hang]);
    let run = Line::run(&acts).only_until(Line::Scan).deadline(Duration::from_secs(5));
    let report = run.await.unwrap();
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Line::Scan]);
    assert_eq!(report.state().status(), RunStatus::Cancelled);
}
