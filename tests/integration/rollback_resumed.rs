//! Rollbacks that the typed machine goes on with, or begins, by what the journal has.

use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::journal::Sealer;
use step_machine::time::ManualClock;
use step_machine::{Cause, Entry, Failure, Journal, JournalError, StepContext, Workflow};

use crate::secret::key;
use crate::support::{Recorded, TextJournal, Trouble, block_on, ok, refuse, seed};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Install {
    #[step(undo, output = u32)]
    Copy,
    #[step(undo)]
    Link,
    Check,
}
use install::*;

type Failed = Failure<Install, Trouble>;

fn machine(journal: &TextJournal) -> step_machine::MachineBuilder<Install> {
    Install::machine().id("r").journal(journal.clone())
}

fn fail(journal: &TextJournal) -> Failed {
    let (run, _) = machine(journal).begin().unwrap().step(Copy, |_| Ok::<u32, Trouble>(7)).unwrap();
    run.step(Link, ok).unwrap().step(Check, refuse).unwrap_err()
}

fn back(journal: &TextJournal, seen: &Recorded) -> Failed {
    machine(journal).observe(seen.clone()).begin_rollback().unwrap()
}

/// What is undone, and what `Copy` had handed on.
fn undo_all(failure: Failed) -> (Failed, Vec<(Install, Option<u32>)>) {
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, cx: &mut StepContext| {
        undone.push((step, cx.output(Copy).unwrap()));
        Ok::<(), Trouble>(())
    });
    (failure, undone)
}

#[test]
fn a_rollback_that_is_stuck_goes_on_with_what_is_left() {
    let (journal, seen) = (TextJournal::new(), Recorded::new());
    drop(fail(&journal).rollback(|step, _| if step == Install::Copy { Err(Trouble::Lost) } else { Ok(()) }));
    assert_eq!(journal.fold("r").unwrap().unwrap().status(), RunStatus::Stuck);

    let failure = back(&journal, &seen);
    let Cause::Earlier { error } = failure.cause() else { panic!("{:?}", failure.cause()) };
    assert_eq!((failure.step(), error.kind.as_ref()), (Some(Install::Check), "network"));
    assert_eq!(failure.context().record().rollback.as_ref().unwrap().status, RunStatus::Stuck);
    let (failure, undone) = undo_all(failure);
    assert_eq!(undone, [(Install::Copy, Some(7))]);
    assert_eq!(
        seen.lines(),
        ["run_resume rollback", "undo_start copy #2", "undo_end copy undone", "run_end rolled_back"]
    );
    let state = journal.fold("r").unwrap().unwrap();
    assert_eq!((state.status(), state.failure()), (RunStatus::RolledBack, Some(failure.context().record())));
}

#[test]
fn a_rollback_whose_process_died_anywhere_goes_on_and_undoes_nothing_twice() {
    let whole = TextJournal::new();
    let (_, undone) = undo_all(fail(&whole));
    assert_eq!(undone.len(), 2);
    let events = whole.events("r");
    // From the first step's start on, before which there is nothing to take back.
    for died in 2..events.len() {
        let (journal, seen) = (TextJournal::new(), Recorded::new());
        seed(&journal, &events[..died]);
        let before = journal.lines("r");
        let (failure, undone) = undo_all(back(&journal, &seen));
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack, "after {before:?}");
        let is_done = |step: Install| before.iter().any(|line| *line == format!("undo_end {} undone", step.id()));
        let has_begun =
            |step: Install| before.iter().any(|line| line.starts_with(&format!("step_start {}", step.id())));
        let expected: Vec<_> =
            [Install::Link, Install::Copy].into_iter().filter(|step| has_begun(*step) && !is_done(*step)).collect();
        assert_eq!(undone.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected, "after {before:?}");
        assert_eq!(journal.fold("r").unwrap().as_ref(), failure.state());
    }
}

#[test]
fn an_undo_knows_of_an_attempt_that_was_cut_off_before_the_one_that_failed() {
    let journal = TextJournal::new();
    let Entry::Run(guard) = machine(&journal).begin().unwrap().enter(Copy) else { panic!("the step has not settled") };
    // The process is gone: nothing is recorded any more.
    std::mem::forget(guard);
    let run = machine(&journal).take_over().begin().unwrap();
    let mut failure = run.step(Copy, |_| Err(Trouble::Network)).unwrap_err();
    let mut undone = Vec::new();
    for result in [Err(Trouble::Lost), Ok(())] {
        let mut result = Some(result);
        failure = failure.rollback(|_, cx| {
            undone.push((cx.interrupted(), cx.output(Copy).unwrap()));
            result.take().unwrap()
        });
        drop(failure);
        failure = match machine(&journal).begin_rollback() {
            Ok(failure) => failure,
            Err(error) => {
                assert!(matches!(error, JournalError::Over { status: RunStatus::RolledBack, .. }), "{error:?}");
                break;
            }
        };
    }
    // It may have copied all before its process died, and what is tried again after a failed undo is to know that too.
    assert_eq!(undone, [(true, None), (true, None)]);
    assert!(!journal.fold("r").unwrap().unwrap().step("copy").unwrap().is_interrupted(), "it is undone");
}

#[test]
fn it_failed_when_it_did_whenever_it_is_taken_back() {
    let (journal, clock) = (TextJournal::new(), ManualClock::new());
    let machine = || machine(&journal).clock(clock.clone());
    let (run, _) = machine().begin().unwrap().step(Copy, |_| Ok::<u32, Trouble>(7)).unwrap();
    clock.advance(Duration::from_secs(5));
    let run = run.step(Link, ok).unwrap();
    let failed = run.step(Check, refuse).unwrap_err().into_context();
    clock.advance(Duration::from_secs(86_400));
    let failure: Failed = machine().begin_rollback().unwrap();
    let (failure, _) = undo_all(failure);
    let record = failure.context().record();
    assert_eq!((record.failed_at, record.run_duration), (failed.record().failed_at, Duration::from_secs(5)));
}

#[test]
fn what_is_to_run_again_is_not_taken_back_as_well() {
    let journal = TextJournal::new();
    drop(fail(&journal));
    let before = journal.lines("r");
    let error = machine(&journal).retry_from(Install::Copy).begin_rollback::<Trouble>().unwrap_err();
    let JournalError::Refused { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().ends_with("a run that goes back runs no step again"), "{source}");
    assert_eq!(journal.lines("r"), before);
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Graph {
    #[step(undo, output = String, secret)]
    Key,
    #[step(needs(Key), undo)]
    Left,
    #[step(needs(Key), undo)]
    Right,
    #[step(needs(Left, Right))]
    Join,
}

#[test]
fn a_graph_with_a_secret_is_undone_by_its_needs_and_has_the_secret() {
    let journal = TextJournal::new();
    let builder = || Graph::machine().journal(journal.clone()).codec(Sealer::new(key("a", 1))).exclusive("web");
    let machine = || builder().id("g");
    let (run, _) = machine().begin().unwrap().step(graph::Key, |_| Ok::<_, Trouble>("open sesame".to_owned())).unwrap();
    let run = run.step(graph::Right, ok).unwrap().step(graph::Left, ok).unwrap();
    drop(run.step(graph::Join, refuse).unwrap_err());
    let failure: Failure<Graph, Trouble> = machine().begin_rollback().unwrap();
    let error = builder().id("other").begin().unwrap_err();
    assert!(matches!(&error, JournalError::Exclusive { holder, .. } if *holder == "g".into()), "{error:?}");
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, cx: &mut StepContext| {
        undone.push((step, cx.output(graph::Key).unwrap()));
        Ok::<(), Trouble>(())
    });
    let key = Some("open sesame".to_owned());
    assert_eq!(undone, [(Graph::Left, key.clone()), (Graph::Right, key.clone()), (Graph::Key, key)]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}

#[test]
fn a_run_that_was_cut_off_half_way_is_taken_back_with_the_step_that_was_running() {
    let (journal, seen) = (TextJournal::new(), Recorded::new());
    let (run, _) = machine(&journal).begin().unwrap().step(Copy, |_| Ok::<u32, Trouble>(7)).unwrap();
    // As a process leaves it that dies: without an end.
    let died = TextJournal::new();
    let _ = run.step(Link, |cx| {
        seed(&died, &journal.events("r"));
        ok(cx)
    });
    let failure = back(&died, &seen);
    assert_eq!((failure.step(), failure.context().kind()), (Some(Install::Link), "cancelled"));
    assert_eq!(failure.state().unwrap().step("link").unwrap().status(), StepStatus::Cancelled);
    let mut undone = Vec::new();
    let failure = block_on(failure.skip_undo(Install::Copy, "is used").rollback_async(async |step, _| {
        undone.push(step);
        Ok::<(), Trouble>(())
    }));
    assert_eq!(undone, [Install::Link]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(
        seen.lines()[1..],
        ["undo_start link", "undo_end link undone", "undo_end copy skipped: is used", "run_end rolled_back"]
    );
}

#[test]
fn one_that_is_dropped_before_its_rollback_can_be_taken_up_again() {
    let (journal, seen) = (TextJournal::new(), Recorded::new());
    drop(fail(&journal));
    drop(back(&journal, &seen));
    let error = machine(&journal).begin().unwrap_err();
    assert!(matches!(&error, JournalError::Over { status: RunStatus::RollingBack, .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "run r is rolling_back and cannot go forward, as what it did is not all undone: go on with its rollback, by \
         `begin_rollback` of the typed machine or by resuming it with the runner, before another run begins under \
         another id"
    );
    let (failure, undone) = undo_all(back(&journal, &seen));
    assert_eq!((undone.len(), failure.state().unwrap().status()), (2, RunStatus::RolledBack));
}

#[test]
fn what_completed_was_rolled_back_or_is_not_there_is_refused() {
    let journal = TextJournal::new();
    let refused = |builder: step_machine::MachineBuilder<Install>| builder.begin_rollback::<Trouble>().unwrap_err();
    assert!(matches!(refused(machine(&journal)), JournalError::NotFound { run } if run == "r".into()));
    assert!(matches!(refused(Install::machine()), JournalError::NotFound { .. }));
    assert!(matches!(refused(machine(&journal).start("r")), JournalError::NotFound { .. }));
    assert_eq!(journal.lines("r"), [""; 0]);
    let (run, _) = machine(&journal).begin().unwrap().step(Copy, |_| Ok::<u32, Trouble>(7)).unwrap();
    run.step(Link, ok).unwrap().step(Check, ok).unwrap().finish().unwrap();
    let before = journal.lines("r");
    let error = refused(machine(&journal));
    assert_eq!(
        error.to_string(),
        "run r is completed and can neither go on nor be taken back; begin again under another id"
    );
    assert_eq!(journal.lines("r"), before);

    let journal = TextJournal::new();
    drop(undo_all(fail(&journal)));
    assert!(matches!(refused(machine(&journal)), JournalError::Over { status: RunStatus::RolledBack, .. }));
    let claim = journal.claim(&step_machine::journal::Claim::of("r")).wait();
    assert!(claim.is_ok(), "a refused run is held by nobody: {claim:?}");
}
