//! Runs that are taken back because somebody asks for it.

use std::time::Duration;

use step_machine::event::{Kind, RunStatus};
use step_machine::{Cause, JournalError, OnFailure};
use tokio::time::sleep;

use super::{Act::*, Acts, Line};
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
