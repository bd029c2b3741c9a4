//! Runs that go on under their id, journals that fail, and who else watches.

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use step_machine::event::{Event, Kind, Reason, RunStatus, StepStatus};
use step_machine::{
    Cause, Journal, JournalError, MemoryJournal, Observer, OnFailure, RunId, RunState, StepContext, Workflow,
};

use super::{Act::*, Acts, Diamond, Line, about, statuses};
use crate::support::{Recorded, TextJournal, Trouble};

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_on_when_a_run_goes_on() {
    let (acts, journal) = (Acts::new().on("build", [Refuse; 4]), Arc::new(MemoryJournal::new()));
    let failure = Line::run(&acts).id("r").journal(journal.clone()).await.unwrap_err();
    assert_eq!(failure.context().record().attempt, 3);
    let seen = Recorded::new();
    Line::run(&acts).id("r").journal(journal.clone()).observe(seen.clone()).await.unwrap();
    // The rule begins anew, its waits too.
    assert_eq!(
        about(&seen, "build"),
        ["step_start #4", "step_retry #4 in 1s after network", "step_start #5", "step_end completed #5"]
    );
    assert_eq!(acts.called("fetch"), 1, "what is completed is not run again");
    assert_eq!(acts.called("build with 7"), 5, "what it handed on is there");
    Line::run(&acts).id("r").journal(journal.clone()).await.unwrap();
    assert_eq!(acts.called("check"), 1, "a run that is completed runs nothing");
}

#[tokio::test]
async fn a_run_that_is_to_go_only_so_far_can_go_on_later() {
    let (acts, seen, journal) = (Acts::new(), Recorded::new(), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone()).observe(seen.clone());
    let report = run().only_until(Line::Build).await.unwrap();
    use StepStatus::{Completed, Pending};
    assert_eq!(statuses(report.state()), [Completed, Completed, Pending, Pending, Pending, Pending]);
    assert_eq!(report.state().status(), RunStatus::Cancelled);
    let Some(Kind::RunEnd(end)) = seen.events().last().map(|event| event.kind.clone()) else { panic!("no end") };
    assert_eq!((end.status, end.reason, end.failure), (RunStatus::Cancelled, Some(Reason::Requested), None));
    let report = run().await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!((acts.called("fetch"), acts.called("build"), acts.called("check")), (1, 1, 1));
    assert_eq!(journal.fold("r").unwrap().as_ref(), Some(report.state()));
}

#[tokio::test]
async fn in_parallel_as_far_as_a_step_is_that_step_and_what_it_needs() {
    let acts = Acts::new();
    let report = Diamond::run(&acts).only_until(Diamond::Right).await.unwrap();
    use StepStatus::{Completed, Pending};
    assert_eq!(statuses(report.state()), [Completed, Pending, Completed, Pending, Pending]);
    assert_eq!(report.state().status(), RunStatus::Cancelled);
}

/// Refuses one write and would take the next again.
struct Faulty {
    kept: TextJournal,
    writes: AtomicUsize,
    refused: usize,
    /// The bodies that were called by then.
    acts: Arc<Acts>,
    bodies: AtomicUsize,
}

impl Journal for Faulty {
    fn append(&self, run: &RunId, events: &[Event]) -> Result<(), JournalError> {
        if self.writes.fetch_add(1, Ordering::Relaxed) + 1 == self.refused {
            self.bodies.store(self.acts.calls().len(), Ordering::Relaxed);
            return Err(JournalError::Write { run: run.clone(), source: "the disk is full".into() });
        }
        self.kept.append(run, events)
    }

    fn load(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        self.kept.load(run)
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.kept.runs()
    }
}

fn is_full(cause: &Cause<Trouble>, error: Option<&JournalError>) -> bool {
    matches!(cause, Cause::Journal(JournalError::Write { .. })) || matches!(error, Some(JournalError::Write { .. }))
}

#[tokio::test(start_paused = true)]
async fn wherever_the_journal_fails_no_body_begins_after_it_and_the_run_can_go_on() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new().on("build", [Refuse]).on("scan", [Refuse]));
        let kept = TextJournal::new();
        let (writes, bodies) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let journal = Arc::new(Faulty { kept: kept.clone(), writes, refused, acts: acts.clone(), bodies });
        let ended = Line::run(&*acts).id("r").journal(journal.clone()).await;
        let failure = match ended {
            Ok(_) => {
                assert!(journal.writes.load(Ordering::Relaxed) < refused, "{refused}");
                return assert!(refused > 14);
            }
            Err(failure) => failure,
        };
        assert!(is_full(failure.cause(), failure.journal_error()), "{refused}: {failure:?}");
        assert_eq!(journal.bodies.load(Ordering::Relaxed), acts.calls().len(), "{refused}: {:?}", acts.calls());
        assert_eq!(journal.writes.load(Ordering::Relaxed), refused, "nothing is written after it");
        drop(failure);
        let completed = kept.fold("r").unwrap();
        let calls = acts.calls().len();
        let report = Line::run(&*acts).id("r").journal(kept.clone()).await.unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        let again = &acts.calls()[calls..];
        let done = completed.iter().flat_map(|state| state.plan().steps.iter().zip(state.steps()));
        for (info, _) in done.filter(|(_, step)| step.status().is_settled()) {
            assert!(!again.contains(&info.id), "{refused}: `{}` ran again in {again:?}", info.id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_in_a_parallel_run_or_a_rollback_loses_nothing() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new().on("join", [Refuse]).on("undo left", [Refuse]));
        let kept = TextJournal::new();
        let (writes, bodies) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let journal = Arc::new(Faulty { kept: kept.clone(), writes, refused, acts: acts.clone(), bodies });
        let run = Diamond::run(acts.clone()).id("r").on_failure(OnFailure::Rollback).max_parallel(NonZeroUsize::MIN);
        let failure = run.journal(journal.clone()).await.unwrap_err();
        if journal.writes.load(Ordering::Relaxed) < refused {
            return assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
        }
        assert!(is_full(failure.cause(), failure.journal_error()), "{refused}: {failure:?}");
        assert_eq!(journal.bodies.load(Ordering::Relaxed), acts.calls().len(), "{refused}: {:?}", acts.calls());
        drop(failure);
        let end = Diamond::run(acts.clone()).id("r").on_failure(OnFailure::Rollback).journal(kept.clone()).await;
        let status = kept.fold("r").unwrap().unwrap().status();
        assert!(matches!(status, RunStatus::RolledBack | RunStatus::Completed), "{refused}: {status} {end:?}");
    }
}

/// An observer that always panics.
struct Clumsy;

impl Observer for Clumsy {
    fn event(&mut self, event: &Event) {
        panic!("cannot show {}", event.event_type());
    }
}

#[tokio::test]
async fn an_observer_that_panics_hurts_nobody() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    let report = Diamond::run(&acts).observe(Clumsy).observe(seen.clone()).await.unwrap();
    assert_eq!(RunState::fold(&seen.events()).unwrap().as_ref(), Some(report.state()));
    assert_eq!(report.observer_faults()[0].panics, u64::try_from(seen.len()).unwrap());
}

/// Three steps at once, one of which blocks its thread.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Trio {
    Block,
    Wait,
    Fail,
}

/// A handler of any type that may be shared.
struct Blocking<T> {
    about: T,
    may_end: AtomicBool,
    has_begun: AtomicBool,
}

impl<T: Debug + Send + Sync> TrioHandler for Blocking<T> {
    type Error = Trouble;

    async fn block(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.has_begun.store(true, Ordering::Release);
        while !self.may_end.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        cx.message(format!("{:?}", self.about));
        Ok(())
    }

    async fn wait(&self, _: &mut StepContext) -> Result<(), Trouble> {
        std::future::pending().await
    }

    async fn fail(&self, _: &mut StepContext) -> Result<(), Trouble> {
        while !self.has_begun.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(Trouble::Network)
    }
}

fn blocking<T>(about: T, may_end: bool) -> Arc<Blocking<T>> {
    Arc::new(Blocking { about, may_end: AtomicBool::new(may_end), has_begun: AtomicBool::new(false) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_body_that_blocks_its_thread_does_not_hold_up_the_others() {
    let (handler, seen) = (blocking("web-1", false), Recorded::new());
    let run = Trio::run(handler.clone()).cancel_siblings().observe(seen.clone());
    let run = tokio::spawn(run.into_future());
    while !seen.lines().contains(&"step_end wait cancelled: cancelled".to_owned()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(about(&seen, "block"), ["step_start"]);
    handler.may_end.store(true, Ordering::Release);
    let failure = run.await.unwrap().unwrap_err();
    use StepStatus::{Cancelled, Completed, Failed};
    assert_eq!(statuses(failure.state().unwrap()), [Completed, Cancelled, Failed]);
    assert_eq!(failure.step(), Some(Trio::Fail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_moves_to_a_task_with_a_handler_of_any_type() {
    let handler = blocking(vec![Some(1)], true);
    let run = Trio::run(handler).only_until(Trio::Block);
    let report = tokio::spawn(async move { run.await }).await.unwrap().unwrap();
    let message = report.state().step("block").unwrap().message().unwrap().1;
    assert_eq!(message, "[Some(1)]");

    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let acts = Acts::new();
    is_send(Line::run(&acts).into_future()).await.unwrap();
}
