//! When a failed run may be rolled back: the workflow's policy, and what becomes of the run without one.

use step_machine::event::{RunStatus, StepStatus};
use step_machine::{Cause, Failure, JournalError, RunState, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, block_on, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Install {
    #[step(undo)]
    Copy,
    #[step(undo)]
    Link,
    Check,
}
use install::*;

type Failed = Failure<Install, Trouble>;

/// A run that fails at its last step.
fn fail(seen: &Recorded) -> Failed {
    let run = Install::machine().id("r").observe(seen.clone()).begin().unwrap();
    run.step(Copy, ok).unwrap().step(Link, ok).unwrap().step(Check, refuse).unwrap_err()
}

#[test]
fn a_run_that_stops_on_failure_ends_at_once_and_can_still_be_rolled_back() {
    let seen = Recorded::new();
    let failure = fail(&seen);
    assert_eq!(seen.lines()[5..], ["step_start check", "step_end check failed: network", "run_end failed"]);
    let earlier = seen.len();
    let failure = failure.rollback(|_, _| Ok::<(), Trouble>(()));
    assert_eq!(
        seen.lines_after(earlier),
        [
            "run_resume rollback",
            "undo_start link",
            "undo_end link undone",
            "undo_start copy",
            "undo_end copy undone",
            "run_end rolled_back",
        ]
    );
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)));
    assert_eq!(RunState::fold(&seen.events()).unwrap().as_ref(), failure.state());
}

#[test]
fn an_undo_may_be_skipped_after_the_run_has_ended() {
    let seen = Recorded::new();
    let failure = fail(&seen);
    let earlier = seen.len();
    let failure = failure.skip_undo(Install::Link, "in use").skip_undo(Install::Copy, "in use too");
    drop(failure.rollback(|step, _| -> Result<(), Trouble> { panic!("the undo of {step:?} is skipped") }));
    assert_eq!(
        seen.lines_after(earlier),
        [
            "run_resume rollback",
            "undo_end link skipped: in use",
            "undo_end copy skipped: in use too",
            "run_end rolled_back",
        ]
    );
}

#[test]
fn skipping_an_undo_that_there_is_not_changes_nothing() {
    let seen = Recorded::new();
    let failure = fail(&seen);
    let earlier = seen.len();
    let failure = failure.skip_undo(Install::Check, "it declares none");
    assert_eq!(seen.lines_after(earlier), [""; 0]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::Failed);
}

#[test]
fn a_rollback_without_anything_to_undo_records_nothing() {
    let seen = Recorded::new();
    let run = Second::machine().observe(seen.clone()).begin().unwrap();
    let failure = run.step(second::Plan, refuse).unwrap_err();
    assert_eq!(seen.lines()[2..], ["step_end plan failed: network", "run_end failed"]);
    let failure = failure.rollback(|step, _| -> Result<(), Trouble> { panic!("{step:?} never began") });
    let failure = block_on(failure.rollback_async(async |_, _| Err(Trouble::Network)));
    assert_eq!(seen.len(), 4);
    assert_eq!(failure.context().record().rollback, None);
}

/// Its first step has nothing to undo, so a failure of it ends the run whatever the policy.
#[derive(Workflow, Debug)]
#[workflow(on_failure = "rollback")]
enum Second {
    Plan,
    #[step(undo)]
    Act,
}

#[test]
fn a_run_that_was_rolled_back_cannot_be_begun_again() {
    let journal = TextJournal::new();
    let builder = || Second::machine().id("r").journal(journal.clone());
    let run = builder().begin().unwrap().step(second::Plan, ok).unwrap();
    drop(run.step(second::Act, refuse).unwrap_err().rollback(|_, _| Ok::<(), Trouble>(())));
    let error = builder().begin().unwrap_err();
    assert!(matches!(&error, JournalError::Over { status: RunStatus::RolledBack, .. }), "{error:?}");
    assert_eq!(error.to_string(), "run r is rolled_back and cannot go on; begin again under another id");
}

#[test]
fn a_run_that_is_stuck_does_not_go_forward_again() {
    let journal = TextJournal::new();
    let builder = || Second::machine().id("r").journal(journal.clone());
    let run = builder().begin().unwrap().step(second::Plan, ok).unwrap();
    drop(run.step(second::Act, refuse).unwrap_err().rollback(|_, _| Err(Trouble::Lost)));
    let before = journal.lines("r");
    let error = builder().begin().unwrap_err();
    assert!(matches!(&error, JournalError::Over { status: RunStatus::Stuck, .. }), "{error:?}");
    assert_eq!(journal.lines("r"), before);
}

#[test]
fn a_run_that_was_not_rolled_back_goes_on_forward() {
    let journal = TextJournal::new();
    let builder = || Second::machine().id("r").journal(journal.clone());
    let run = builder().begin().unwrap().step(second::Plan, ok).unwrap();
    drop(run.step(second::Act, refuse).unwrap_err());
    let report = builder().begin().unwrap().step(second::Plan, refuse).unwrap().step(second::Act, ok).unwrap();
    let report = report.finish().unwrap();
    assert_eq!(report.state().step("act").unwrap().status(), StepStatus::Completed);
    assert_eq!(
        journal.lines("r")[4..],
        [
            "step_end act failed: network",
            "run_end failed",
            "run_resume",
            "step_start act #2",
            "step_end act completed #2",
            "run_end completed",
        ]
    );
}

#[test]
fn the_record_of_the_run_s_end_carries_the_rollback() {
    let journal = TextJournal::new();
    let run = Second::machine().id("r").journal(journal.clone()).begin().unwrap().step(second::Plan, ok).unwrap();
    let failure = run.step(second::Act, refuse).unwrap_err().rollback(|_, _| Err(Trouble::Lost));
    let state = journal.fold("r").unwrap().unwrap();
    assert_eq!(state.failure(), Some(failure.context().record()));
    assert_eq!(state.status(), RunStatus::Stuck);
    assert_eq!(Some(&state), failure.state());
}
