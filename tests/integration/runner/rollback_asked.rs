//! Runs that are taken back because somebody asks for it.

use std::time::Duration;

use step_machine::event::{Effect, Event, Kind, RunStatus};
use step_machine::{Cause, JournalError, OnFailure};
use tokio::time::sleep;

use super::{Act::*, Acts, Diamond, Line};
use crate::support::{TextJournal, Trouble, seed};

const ALL: [&str; 4] = ["undo deploy", "undo scan", "undo build", "undo fetch"];

/// The undos among what was called.
fn undos(calls: &[String]) -> Vec<&str> {
    calls.iter().map(String::as_str).filter(|call| call.starts_with("undo ")).collect()
}

fn error(failure: step_machine::Failure<Line, Trouble>) -> JournalError {
    match failure.into_parts().1 {
        Cause::Journal(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_or_was_cancelled_is_taken_back() {
    let (acts, journal) = (Acts::new().on("check", [Refuse, Hang]), TextJournal::new());
    let run = |id: &str| Line::run(&acts).id(id).journal(journal.clone()).on_failure(OnFailure::Stop);
    let failed = run("failed").await.unwrap_err();
    assert_eq!(failed.state().unwrap().status(), RunStatus::Failed);
    let cancelled = run("cancelled").cancel_on(sleep(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(cancelled.state().unwrap().status(), RunStatus::Cancelled);
    for (earlier, id) in [(failed, "failed"), (cancelled, "cancelled")] {
        let calls = acts.calls().len();
        let failure = run(id).rollback().await.unwrap_err();
        assert_eq!(undos(&acts.calls()[calls..]), ALL);
        let (before, after) = (earlier.context().record(), failure.context().record());
        assert!(matches!(failure.cause(), Cause::Earlier { error } if **error == before.error), "{failure:?}");
        assert_eq!(
            (after.failed_at, &after.step, after.run_duration),
            (before.failed_at, &before.step, before.run_duration)
        );
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
        assert_eq!(journal.fold(id).unwrap().unwrap().failure(), Some(after));
    }
}

#[tokio::test]
async fn a_run_whose_process_died_anywhere_is_taken_back_as_far_as_it_came() {
    let (acts, whole) = (Acts::new(), TextJournal::new());
    Line::run(&acts).id("r").journal(whole.clone()).await.unwrap();
    let events = whole.events("r");
    for died in 1..events.len() {
        let (acts, journal) = (Acts::new(), TextJournal::new());
        seed(&journal, &events[..died]);
        let failure = Line::run(&acts).id("r").journal(journal.clone()).rollback().await.unwrap_err();
        let begun = |step: &str| {
            events[..died].iter().any(|event| matches!(&event.kind, Kind::StepStart(start) if start.step == *step))
        };
        let expected: Vec<_> = ALL.into_iter().filter(|undo| begun(undo.strip_prefix("undo ").unwrap())).collect();
        assert_eq!(undos(&acts.calls()), expected, "after {died} events");
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    }
}

#[tokio::test]
async fn what_completed_was_taken_back_or_is_not_there_is_refused() {
    let (acts, journal) = (Acts::new(), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone());
    assert!(matches!(error(run().rollback().await.unwrap_err()), JournalError::NotFound { .. }));
    assert!(matches!(error(Line::run(&acts).rollback().await.unwrap_err()), JournalError::NotFound { .. }));
    run().await.unwrap();
    let calls = acts.calls().len();
    let refused = error(run().rollback().await.unwrap_err());
    assert!(matches!(refused, JournalError::Over { status: RunStatus::Completed, .. }), "{refused:?}");
    assert_eq!(acts.calls().len(), calls);
}

/// The first events, up to the first one that is told so.
fn up_to(mut events: Vec<Event>, last: &str) -> Vec<Event> {
    let at = crate::support::lines(&events).iter().position(|line| line == last).unwrap();
    events.truncate(at + 1);
    events
}

#[tokio::test(start_paused = true)]
async fn of_those_that_failed_beside_each_other_the_first_one_stays_the_failure() {
    let acts = Acts::new().on("right", [After(1, &Fatal)]).on("left", [After(2, &Refuse)]).on("undo fetch", [Refuse]);
    let journal = TextJournal::new();
    let run = |journal: &TextJournal| {
        Diamond::run(&acts).id("r").on_failure(OnFailure::Rollback).journal(journal.clone()).into_future()
    };
    let failure = run(&journal).await.unwrap_err();
    assert_eq!((failure.step(), failure.context().kind()), (Some(Diamond::Right), "template"));
    assert_eq!(failure.state().unwrap().status(), RunStatus::Stuck);
    let died = TextJournal::new();
    seed(&died, &up_to(journal.events("r"), "undo_start right"));
    drop(failure);
    // Where the run has ended, and where its process died before.
    for journal in [journal, died] {
        let failure = run(&journal).await.unwrap_err();
        assert_eq!((failure.step(), failure.context().kind()), (Some(Diamond::Right), "template"));
        let state = journal.fold("r").unwrap().unwrap();
        assert_eq!((state.status(), state.failure()), (RunStatus::RolledBack, Some(failure.context().record())));
    }
}

#[tokio::test(start_paused = true)]
async fn what_stopped_a_run_between_its_steps_stays_the_failure() {
    let (acts, journal) = (Acts::new().on("build", [After(2, &Done)]), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone());
    let failure = run().stop_on(sleep(Duration::from_secs(1))).await.unwrap_err();
    let earlier = failure.into_context();
    assert_eq!((earlier.step(), earlier.record().error.effect), (None, Effect::Known));
    // As where the run took too long.
    journal.damage("r", |lines| {
        let last = lines.last_mut().unwrap();
        *last = last.replace(r#""kind":"cancelled""#, r#""kind":"timeout""#);
    });
    let failure = run().rollback().await.unwrap_err();
    let record = failure.context().record();
    assert_eq!((failure.step(), failure.context().kind(), record.error.effect), (None, "timeout", Effect::Known));
    assert_eq!((record.failed_at, record.run_duration), (earlier.record().failed_at, earlier.record().run_duration));
    assert!(matches!(failure.cause(), Cause::Earlier { error } if **error == record.error), "{failure:?}");
    assert_eq!(undos(&acts.calls()), ["undo build", "undo fetch"]);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_an_attempt_is_not_that_of_the_next_one_which_was_cut_off() {
    let (acts, whole) = (Acts::new().on("build", [Refuse]), TextJournal::new());
    Line::run(&acts).id("r").journal(whole.clone()).await.unwrap();
    for (last, kind, effect, attempt) in [
        ("step_start build #2", "cancelled", Effect::Unknown, 2),
        // It waits for the next one, and has failed so far.
        ("step_retry build in 1s after network", "network", Effect::Known, 1),
    ] {
        let journal = TextJournal::new();
        seed(&journal, &up_to(whole.events("r"), last));
        let failure = Line::run(&acts).id("r").journal(journal.clone()).rollback().await.unwrap_err();
        let record = failure.context().record();
        assert_eq!((failure.step(), record.attempt), (Some(Line::Build), attempt), "{last}");
        assert_eq!((failure.context().kind(), record.error.effect), (kind, effect), "{last}");
        assert_eq!(journal.fold("r").unwrap().unwrap().failure(), Some(record));
    }
}
