//! A journal that fails while several steps are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use step_machine::event::Kind;
use step_machine::journal::{Append, Reply};
use step_machine::time::ManualClock;
use step_machine::{Cause, Journal, JournalError, MemoryJournal, RunState, StepContext, Workflow};

use crate::support::{Trouble, as_in, give_way};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Pair {
    Left,
    Right,
}

/// Does not take the failure of a step, nor what comes after it.
#[derive(Clone, Default)]
struct Refusing {
    kept: Arc<MemoryJournal>,
    has_failed: Arc<AtomicBool>,
}

impl Journal for Refusing {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let is_failure = |kind: &Kind| matches!(kind, Kind::StepEnd(end) if end.error.is_some());
        if !append.events.iter().any(|event| is_failure(&event.kind)) && !self.has_failed.load(Ordering::Acquire) {
            return self.kept.append(append);
        }
        self.has_failed.store(true, Ordering::Release);
        let run = append.lease.run.clone();
        Reply::ready(Err(JournalError::Write { run, source: "the disk is full".into() }))
    }

    as_in!(kept);
}

/// `left` fails once `right` has begun, which ends once the journal has failed and the verdict on `left` is in.
struct OneAfterTheOther {
    journal: Refusing,
    has_begun: AtomicBool,
}

impl PairHandler for OneAfterTheOther {
    type Error = Trouble;

    async fn left(&self, _: &mut StepContext) -> Result<(), Trouble> {
        while !self.has_begun.load(Ordering::Acquire) {
            give_way().await;
        }
        Err(Trouble::Network)
    }

    async fn right(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.has_begun.store(true, Ordering::Release);
        while !self.journal.has_failed.load(Ordering::Acquire) {
            give_way().await;
        }
        for _ in 0..10 {
            give_way().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_failure_of_the_journal_does_not_hide_behind_that_of_a_step_beside_it() {
    let journal = Refusing::default();
    let handler = OneAfterTheOther { journal: journal.clone(), has_begun: AtomicBool::new(false) };
    let failure = Pair::run(&handler).journal(journal).await.unwrap_err();
    assert!(handler.has_begun.into_inner());
    assert_eq!(failure.step(), Some(Pair::Left));
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)), "{failure:?}");
    let Some(JournalError::Write { source, .. }) = failure.journal_error() else { panic!("{failure:?}") };
    assert_eq!(source.to_string(), "the disk is full");
    assert!(failure.context().record().journal.as_ref().is_some_and(|told| told.contains("the disk is full")));
}

/// Does not take the end of `right`, once it has that of `left`.
#[derive(Clone, Default)]
struct WithoutRight {
    kept: Arc<MemoryJournal>,
    has_left: Arc<AtomicBool>,
}

impl Journal for WithoutRight {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let has_end_of = |step: &str| {
            append.events.iter().any(|event| matches!(&event.kind, Kind::StepEnd(end) if end.step == *step))
        };
        if has_end_of("right") {
            let run = append.lease.run.clone();
            return Reply::ready(Err(JournalError::Write { run, source: "the disk is full".into() }));
        }
        self.has_left.fetch_or(has_end_of("left"), Ordering::AcqRel);
        self.kept.append(append)
    }

    as_in!(kept);
}

/// `left` fails once both have begun, and `right` ends some time after that is on record.
struct LeftFirst {
    journal: WithoutRight,
    has_begun: AtomicBool,
    right_fails: bool,
}

impl PairHandler for LeftFirst {
    type Error = Trouble;

    async fn left(&self, _: &mut StepContext) -> Result<(), Trouble> {
        while !self.has_begun.load(Ordering::Acquire) {
            give_way().await;
        }
        Err(Trouble::Network)
    }

    async fn right(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.has_begun.store(true, Ordering::Release);
        while !self.journal.has_left.load(Ordering::Acquire) {
            give_way().await;
        }
        for _ in 0..10 {
            give_way().await;
        }
        if self.right_fails { Err(Trouble::Template) } else { Ok(()) }
    }
}

#[tokio::test]
async fn the_first_failure_does_not_hide_behind_a_later_one_that_is_not_on_record() {
    for right_fails in [false, true] {
        let journal = WithoutRight::default();
        let handler = LeftFirst { journal: journal.clone(), has_begun: AtomicBool::new(false), right_fails };
        let failure = Pair::run(&handler).id("r").journal(journal.clone()).await.unwrap_err();
        assert_eq!(failure.step(), Some(Pair::Left), "{failure:?}");
        assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)), "{failure:?}");
        let Some(JournalError::Write { source, .. }) = failure.journal_error() else { panic!("{failure:?}") };
        assert_eq!(source.to_string(), "the disk is full");
        let kept = RunState::fold(&journal.load(&"r".into()).wait().unwrap()).unwrap().unwrap();
        let left = kept.step("left").unwrap().error().map(|error| error.kind.as_ref());
        assert_eq!((left, kept.step("right").unwrap().error()), (Some("network"), None));
    }
}

#[test]
fn of_a_step_whose_end_is_not_kept_no_span_is_told() {
    let (journal, clock) = (Refusing::default(), ManualClock::new());
    let run = Pair::machine().id("web-42").journal(journal.clone()).clock(clock.clone()).begin().unwrap();
    let failure = run.step(pair::Left, |_| {
        clock.advance(Duration::from_secs(5));
        journal.has_failed.store(true, Ordering::Release);
        Ok::<(), Trouble>(())
    });
    let failure = failure.err().unwrap();
    assert_eq!(failure.to_string(), "step 1/2 `left` of `pair` failed (journal)");
    let story = format!("{:#}", failure.context());
    assert!(story.contains("\n  > 1/2  Left   running, begun at 0.000 s\n"), "{story}");
}
