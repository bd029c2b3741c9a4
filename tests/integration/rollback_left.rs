//! Rollbacks that are left half-way: by a panic, by a future that is dropped, by a journal that fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use step_machine::event::{RunStatus, StepStatus};
use step_machine::journal::{Append, Reply};
use step_machine::{Failure, Journal, JournalError, MemoryJournal, Workflow};

use crate::support::{Recorded, Trouble, as_in, block_on, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Install {
    #[step(undo)]
    Copy,
    #[step(undo)]
    Link,
    Check,
}
use install::*;

fn fail(journal: impl Journal + 'static, seen: &Recorded) -> Failure<Install, Trouble> {
    let run = Install::machine().id("r").journal(journal).observe(seen.clone()).begin().unwrap();
    run.step(Copy, ok).unwrap().step(Link, ok).unwrap().step(Check, refuse).unwrap_err()
}

const LEFT: [&str; 3] = ["undo_start link", "undo_end link undo_failed: panic", "run_end stuck"];

#[test]
fn an_undo_that_panics_has_failed_and_the_run_is_stuck() {
    let seen = Recorded::new();
    let failure = fail(MemoryJournal::new(), &seen);
    let earlier = seen.len();
    let undo = |step, _: &mut _| -> Result<(), Trouble> { panic!("no way to undo {step:?}") };
    assert!(catch_unwind(AssertUnwindSafe(|| failure.rollback(undo))).is_err());
    assert_eq!(seen.lines_after(earlier), LEFT);
}

#[test]
fn an_undo_whose_future_is_dropped_has_failed_and_the_run_is_stuck() {
    let seen = Recorded::new();
    let failure = fail(MemoryJournal::new(), &seen);
    let earlier = seen.len();
    let mut rollback = Box::pin(failure.rollback_async(async |_, _| -> Result<(), Trouble> {
        std::future::pending::<()>().await;
        Ok(())
    }));
    block_on(async {
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(rollback.as_mut().poll(cx))).await.is_pending());
    });
    drop(rollback);
    assert_eq!(seen.lines_after(earlier), ["undo_start link", "undo_end link undo_failed: cancelled", "run_end stuck"]);
}

#[test]
fn a_rollback_holds_the_names_of_its_run_again() {
    let journal = MemoryJournal::new();
    let begin = |id: &str| Install::machine().id(id).journal(journal.clone()).exclusive("web").begin();
    let is_held = |error: Option<&JournalError>, by: &str| match error {
        Some(JournalError::Exclusive { name, holder, .. }) => name == "web" && *holder == by.into(),
        _ => false,
    };
    let stuck = || {
        let run = begin("r").unwrap().step(Copy, ok).unwrap();
        let failure = run.step(Link, ok).unwrap().step(Check, refuse).unwrap_err();
        failure.rollback(|_, _| Err::<(), _>(Trouble::Network))
    };

    let mut held = Vec::new();
    let failure = stuck().rollback(|_, _| Ok::<(), Trouble>(held.push(is_held(begin("other").err().as_ref(), "r"))));
    assert_eq!(held, [true, true]);
    assert_eq!(failure.context().record().rollback.as_ref().unwrap().status, RunStatus::RolledBack);
    drop(failure);

    // Where somebody else has them meanwhile, nothing is undone.
    journal.abandon(&"r".into(), "done with").wait().unwrap();
    journal.prune(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).wait().unwrap();
    let failure = stuck();
    let other = begin("other").unwrap();
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, _| Ok::<(), Trouble>(undone.push(step)));
    assert_eq!(undone, []);
    assert!(is_held(failure.journal_error(), "other"), "{failure:?}");
    drop(other);
}

/// A journal that takes so many events and no more.
#[derive(Clone)]
struct Short {
    journal: MemoryJournal,
    left: Arc<AtomicUsize>,
}

impl Journal for Short {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let take = |left: usize| left.checked_sub(append.events.len());
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => self.journal.append(append),
            Err(_) => Reply::ready(Err(JournalError::Write {
                run: append.lease.run.clone(),
                source: "the disk is full".into(),
            })),
        }
    }

    as_in!(journal);
}

#[test]
fn a_journal_that_fails_during_a_rollback_is_told_and_what_it_has_is_in_the_context() {
    // run_start, two events a step, then undo_start and undo_end of `link`; undo_start of `copy` does not fit.
    let journal = Short { journal: MemoryJournal::new(), left: Arc::new(AtomicUsize::new(9)) };
    let mut undone = Vec::new();
    let failure = fail(journal, &Recorded::new()).rollback(|step, _| {
        undone.push(step);
        Ok::<(), Trouble>(())
    });
    assert_eq!(undone, [Install::Link]);
    let Some(JournalError::Write { source, .. }) = failure.journal_error() else {
        panic!("not told: {:?}", failure.journal_error())
    };
    assert_eq!(source.to_string(), "the disk is full");
    assert!(format!("{failure:#}").contains("\njournal   run r: its journal could not be written"), "{failure:#}");
    let state = failure.state().unwrap();
    assert_eq!(state.status(), RunStatus::RollingBack);
    assert_eq!(state.step("link").unwrap().status(), StepStatus::Undone);
    assert_eq!(state.step("copy").unwrap().status(), StepStatus::Completed);
    let rollback = failure.context().record().rollback.as_ref().unwrap();
    assert_eq!((rollback.status, rollback.undos.len()), (RunStatus::RollingBack, 1));
}

#[test]
fn a_journal_that_cannot_take_the_end_of_a_failed_run_is_told() {
    #[derive(Workflow)]
    enum Short1 {
        Only,
    }
    let journal = Short { journal: MemoryJournal::new(), left: Arc::new(AtomicUsize::new(3)) };
    let run = Short1::machine().id("r").journal(journal).begin().unwrap();
    let failure = run.step(short1::Only, refuse).unwrap_err();
    assert_eq!(failure.context().kind(), "network");
    assert!(matches!(failure.journal_error(), Some(JournalError::Write { .. })), "{:?}", failure.journal_error());
}
