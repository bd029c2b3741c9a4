//! A runner that is inside of a step while somebody else takes its run over.

use std::sync::Arc;

use step_machine::event::RunStatus;
use step_machine::journal::Claim;
use step_machine::{
    Cause, Journal, JournalError, MachineBuilder, MemoryJournal, RunState, SqliteJournal, StepContext, Workflow,
};

use crate::gated::{Gate, Release};
use crate::support::{Recorded, Trouble, lines, ok};

/// What two processes have: each opens the journal for itself.
type Open<'a> = &'a dyn Fn() -> Arc<dyn Journal>;

/// Whether the new owner is still at work when the former one wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Drives,
    HasEnded,
}

async fn the_former_owner_is_refused(open: Open<'_>, new: New) {
    let (journal, other) = (open(), open());
    let (stale, seen) = (Gate::in_step("right"), Recorded::new());
    let stale_run = Release::run(&stale).start("r").journal(journal.clone()).observe(seen.clone());
    let mut stale_run = std::pin::pin!(stale_run.into_future());
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached_alone(&seen) => {}
    }
    let (before, seen_before) = (stale.calls(), seen.lines());

    let refused = Release::run(&Gate::default()).resume("r").journal(other.clone()).await.unwrap_err();
    assert!(matches!(refused.cause(), Cause::Journal(JournalError::Owned { .. })), "{refused:?}");
    let fresh = if new == New::Drives { Gate::in_step("join") } else { Gate::default() };
    let told = Recorded::new();
    let fresh_run = Release::run(&fresh).resume("r").take_over().journal(other.clone()).observe(told.clone());
    let mut fresh_run = std::pin::pin!(fresh_run.into_future());
    let mut report = None;
    tokio::select! {
        ended = &mut fresh_run => report = Some(ended.unwrap()),
        () = fresh.reached() => {}
    }
    assert_eq!(report.is_some(), new == New::HasEnded);

    stale.open();
    let failure = stale_run.await.unwrap_err();
    let Cause::Journal(error) = failure.cause() else { panic!("{failure:?}") };
    let JournalError::TakenOver { run, owner } = error else { panic!("{error:?}") };
    assert_eq!(run.to_string(), "r");
    assert_eq!(owner.as_ref().map(|owner| owner.pid), (new == New::Drives).then(std::process::id));
    assert!(error.to_string().ends_with("; nothing more is written to it from here"), "{error}");
    assert_eq!(stale.calls(), before, "no step begins after it");
    // At most what the step said meanwhile, for which nobody waits: a journal may refuse that before it is told.
    let seen_since = seen.lines_after(seen_before.len());
    assert!(seen_since.iter().all(|line| line == "step_update right info: it goes on"), "{seen_since:?}");
    drop(failure);

    let report = match report {
        Some(report) => report,
        None => {
            fresh.open();
            fresh_run.await.unwrap()
        }
    };
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(fresh.calls(), ["right again", "join"]);
    // All of the new owner's events are there, behind those that the former one had seen, and none of its later ones.
    let kept = journal.load(&"r".into()).wait().unwrap();
    let expected: Vec<String> = seen_before.iter().cloned().chain(told.lines()).collect();
    assert_eq!(lines(&kept), expected);
    assert_eq!(RunState::fold(&kept).unwrap().as_ref(), Some(report.state()));
    assert_eq!(kept, other.load(&"r".into()).wait().unwrap());
}

#[tokio::test]
async fn a_runner_whose_run_in_a_file_was_taken_over_stops_before_its_next_step() {
    for new in [New::Drives, New::HasEnded] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        the_former_owner_is_refused(&|| Arc::new(SqliteJournal::open(&path).unwrap()), new).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_runner_whose_run_in_postgres_was_taken_over_stops_before_its_next_step() {
    for new in [New::Drives, New::HasEnded] {
        let place = crate::postgres::Place::new();
        the_former_owner_is_refused(&|| Arc::new(place.open()), new).await;
    }
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(name = "pay", on_failure = "rollback")]
enum Pay {
    #[step(undo)]
    Reserve,
    Ship,
}

mod changed {
    use step_machine::Workflow;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    #[workflow(name = "pay")]
    pub(super) enum Pay {
        Ship,
    }
}

/// What `take_over` says of a run that another process drives, which then goes on.
fn refused<W: Workflow>(builder: MachineBuilder<W>) -> JournalError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, two) = (SqliteJournal::open(&path).unwrap(), SqliteJournal::open(&path).unwrap());
    let owner = Pay::machine().start("r").exclusive("web").journal(one).begin().unwrap();
    let owner = owner.step(pay::Reserve, ok).unwrap();
    let refused = builder.take_over().journal(two.clone()).begin().map(drop).unwrap_err();
    let held = two.claim(&Claim::of("r")).wait().map(drop).unwrap_err();
    assert!(matches!(held, JournalError::Owned { .. }), "{held:?}");
    owner.step(pay::Ship, ok).unwrap().finish().unwrap();
    refused
}

#[test]
fn a_take_over_that_is_refused_leaves_the_owner_alone() {
    let error = refused(Pay::machine().start("r"));
    assert!(matches!(&error, JournalError::Exists { run } if run.to_string() == "r"), "{error:?}");
    let error = refused(Release::machine().resume("r"));
    assert!(
        matches!(&error, JournalError::OtherWorkflow { found, expected, .. } if found == "pay" && expected == "release"),
        "{error:?}"
    );
    let error = refused(changed::Pay::machine().resume("r"));
    assert!(matches!(&error, JournalError::PlanChanged { .. }), "{error:?}");
    // A run that is not there, and whose name another one holds.
    let error = refused(Pay::machine().resume("s").exclusive("web"));
    assert!(matches!(&error, JournalError::NotFound { run } if run.to_string() == "s"), "{error:?}");
    let error = refused(Pay::machine().start("s").exclusive("web").fork("no such run", Pay::Ship));
    assert!(matches!(&error, JournalError::NotFound { run } if run.to_string() == "no such run"), "{error:?}");
}

#[test]
fn a_rollback_is_not_stopped_by_a_take_over_that_could_only_go_forward() {
    let journal = MemoryJournal::new();
    let run = Pay::machine().start("r").journal(journal.clone()).begin().unwrap().step(pay::Reserve, ok).unwrap();
    let failure = run.step(pay::Ship, |_| Err::<(), _>(Trouble::Network)).unwrap_err();
    let mut refused = None;
    let failure = failure.rollback(|_, _: &mut StepContext| {
        refused = Pay::machine().resume("r").take_over().journal(journal.clone()).begin().map(drop).err();
        Ok::<(), Trouble>(())
    });
    let Some(JournalError::Over { status, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(status, RunStatus::RollingBack);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}

#[test]
fn a_run_that_was_given_up_says_so_to_a_take_over_that_would_be_refused() {
    let journal = MemoryJournal::new();
    drop(Pay::machine().start("r").journal(journal.clone()).begin().unwrap());
    journal.abandon(&"r".into(), "lost").wait().unwrap();
    let error = Pay::machine().start("r").take_over().journal(journal).begin().map(drop).unwrap_err();
    assert!(matches!(&error, JournalError::Abandoned { why, .. } if why == "lost"), "{error:?}");
}

#[test]
fn a_run_that_is_not_there_yet_is_begun_by_a_take_over_of_its_name() {
    let journal = MemoryJournal::new();
    let owner = Pay::machine().start("r").exclusive("web").journal(journal.clone()).begin().unwrap();
    let run = Pay::machine().start("s").exclusive("web").take_over().journal(journal).begin().unwrap();
    run.step(pay::Reserve, ok).unwrap().step(pay::Ship, ok).unwrap().finish().unwrap();
    let failure = owner.step(pay::Reserve, ok).map(drop).unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::TakenOver { .. })), "{failure:?}");
}
