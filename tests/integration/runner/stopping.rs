//! What stops a run, and what becomes of the steps that are running then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus};
use step_machine::journal::{Append, Reply};
use step_machine::{Cause, Journal, JournalError, MemoryJournal, OnFailure, StepContext, StepError, Workflow};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{Act::*, Acts, Diamond, Line, about, ended, since, statuses};
use crate::support::{Recorded, TextJournal, Trouble, as_in, give_way, line, lines};

fn seconds(seconds: u64) -> tokio::time::Sleep {
    sleep(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_starts_and_what_runs_finishes() {
    let (acts, seen) = (Acts::new().on("left", [After(1, &Fatal)]).on("apart", [After(5, &Done)]), Recorded::new());
    let run = Diamond::run(&acts).observe(seen.clone()).max_parallel(2);
    let failure = run.await.unwrap_err();
    use StepStatus::{Completed, Failed, Pending};
    assert_eq!(statuses(failure.state().unwrap()), [Completed, Failed, Pending, Pending, Completed]);
    assert_eq!((failure.step(), ended(&failure, &seen)), (Some(Diamond::Left), RunStatus::Failed));
    assert_eq!(acts.called("right") + acts.called("join"), 0);
}

#[tokio::test(start_paused = true)]
async fn siblings_are_cancelled_where_that_is_asked_for() {
    for is_shared in [false, true] {
        let acts = Acts::new().on("left", [After(1, &Fatal)]).on("right", [Hang]).on("apart", [Hang]);
        let (acts, seen, began) = (Arc::new(acts), Recorded::new(), Instant::now());
        let failure = if is_shared {
            Diamond::run(acts.clone()).cancel_siblings().observe(seen.clone()).await
        } else {
            Diamond::run(&*acts).cancel_siblings().observe(seen.clone()).await
        };
        let failure = failure.unwrap_err();
        use StepStatus::{Cancelled, Completed, Failed, Pending};
        assert_eq!(statuses(failure.state().unwrap()), [Completed, Failed, Cancelled, Pending, Cancelled]);
        assert_eq!((failure.step(), ended(&failure, &seen)), (Some(Diamond::Left), RunStatus::Failed));
        assert_eq!((acts.called("left right"), acts.called("left apart"), began.elapsed().as_secs()), (1, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_waits_for_its_next_attempt_is_cancelled() {
    let (acts, seen) = (Acts::new().on("left", [Refuse]).on("apart", [After(1, &Fatal)]), Recorded::new());
    let began = Instant::now();
    let failure = Diamond::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!(about(&seen, "left"), ["step_start", "step_retry in 5s after network", "step_end cancelled: cancelled"]);
    assert_eq!((failure.step(), began.elapsed().as_secs()), (Some(Diamond::Apart), 1));
    assert_eq!(ended(&failure, &seen), RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_fails_later_is_not_tried_again_and_is_not_the_failure() {
    let acts = Acts::new().on("apart", [After(1, &Fatal)]).on("left", [After(2, &Refuse)]);
    let seen = Recorded::new();
    let failure = Diamond::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!(about(&seen, "left"), ["step_start", "step_end failed: network"]);
    assert_eq!((failure.step(), failure.context().kind()), (Some(Diamond::Apart), "template"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_also_after_the_cancellation_of_another() {
    // The step that waits is cancelled first, and the one that fails is what the run failed with.
    let acts = Acts::new().on("left", [Refuse]).on("apart", [After(3, &Fatal)]);
    let failure = Diamond::run(&acts).stop_on(seconds(1)).await.unwrap_err();
    assert_eq!((failure.step(), failure.context().kind()), (Some(Diamond::Apart), "template"));
    assert_eq!(failure.state().unwrap().status(), RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_running_step_finish_and_starts_nothing() {
    let (acts, seen, began) = (Acts::new().on("build", [After(3, &Done)]), Recorded::new(), Instant::now());
    let failure = Line::run(&acts).observe(seen.clone()).stop_on(seconds(1)).await.unwrap_err();
    assert_eq!(since(&seen, "step_start build"), ["step_start build", "step_end build completed", "run_end cancelled"]);
    assert!(matches!(failure.cause(), Cause::Cancelled));
    assert_eq!((failure.step(), began.elapsed().as_secs()), (None, 3));
    assert_eq!(ended(&failure, &seen), RunStatus::Cancelled);
}

/// Ends once a body at `place` was called; looks again whenever it is polled.
async fn once_called(acts: &Acts, place: &str) {
    while acts.called(place) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_is_heeded_between_bodies_that_never_wait() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).stop_on(once_called(&acts, "build")).await.unwrap_err();
    assert_eq!(since(&seen, "step_end build"), ["step_end build completed", "run_end cancelled"]);
    assert_eq!(ended(&failure, &seen), RunStatus::Cancelled);

    let (acts, seen) = (Acts::new(), Recorded::new());
    let failure = Diamond::run(&acts).observe(seen.clone()).stop_on(once_called(&acts, "fetch")).await.unwrap_err();
    assert_eq!(since(&seen, "step_end fetch"), ["step_end fetch completed", "run_end cancelled"]);
    assert_eq!(ended(&failure, &seen), RunStatus::Cancelled);

    let (acts, seen) = (Acts::new().on("check", [Refuse]), Recorded::new());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback);
    let failure = run.cancel_on(once_called(&acts, "undo deploy")).await.unwrap_err();
    assert_eq!(
        since(&seen, "undo_end deploy"),
        ["undo_end deploy undone", "undo_start scan", "undo_end scan undo_failed: cancelled", "run_end stuck"]
    );
    assert_eq!((acts.called("undo scan"), ended(&failure, &seen)), (0, RunStatus::Stuck));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_an_attempt() {
    let (acts, seen, began) = (Acts::new().on("build", [Busy(60)]), Recorded::new(), Instant::now());
    let failure = Line::run(&acts).observe(seen.clone()).stop_on(seconds(1)).await.unwrap_err();
    assert_eq!(about(&seen, "build").last().unwrap(), "step_end cancelled: cancelled");
    assert_eq!((failure.step(), began.elapsed().as_secs()), (Some(Line::Build), 1));
    assert_eq!(ended(&failure, &seen), RunStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_in_the_last_step_stops_nothing() {
    let (acts, seen) = (Acts::new().on("check", [After(3, &Done)]), Recorded::new());
    let report = Line::run(&acts).observe(seen.clone()).stop_on(seconds(1)).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
}

#[tokio::test]
async fn a_stop_that_was_asked_for_before_begins_nothing() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    for run in [Line::run(&acts).stop_on(async {}), Line::run(&acts).cancel_on(async {})] {
        let earlier = seen.len();
        let failure = run.observe(seen.clone()).rollback_on_cancel().await.unwrap_err();
        assert_eq!(seen.lines_after(earlier), ["run_start", "run_end cancelled"]);
        assert!(matches!(failure.cause(), Cause::Cancelled));
    }
    assert_eq!(acts.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_drops_the_running_body() {
    let (acts, seen, began) = (Acts::new().on("build", [Hang]), Recorded::new(), Instant::now());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback).cancel_on(seconds(2));
    let failure = run.await.unwrap_err();
    assert_eq!(
        since(&seen, "step_start build"),
        ["step_start build", "step_end build cancelled: cancelled", "run_end cancelled"]
    );
    assert_eq!((acts.called("left build"), began.elapsed().as_secs()), (1, 2));
    assert_eq!((failure.step(), ended(&failure, &seen)), (Some(Line::Build), RunStatus::Cancelled));
}

/// Takes its time with the intent to run `deploy`.
#[derive(Clone)]
struct Slow(TextJournal);

impl Journal for Slow {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let is_slow = append.events.iter().any(|event| line(event) == "step_start deploy");
        let reply = self.0.append(append);
        if !is_slow {
            return reply;
        }
        let (answer, later) = Reply::later();
        tokio::spawn(async move {
            seconds(3).await;
            answer.send(reply.await);
        });
        later
    }

    as_in!(0);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_not_run_that_was_cancelled_before_its_intent_was_durable() {
    let (acts, journal) = (Acts::new(), Slow(TextJournal::new()));
    let failure = Line::run(&acts).id("r").journal(journal.clone()).cancel_on(seconds(1)).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Cancelled), "{failure:?}");
    assert_eq!((failure.step(), acts.called("deploy")), (Some(Line::Deploy), 0));
    let lines = journal.0.lines("r");
    let expected = ["step_start deploy", "step_end deploy cancelled: cancelled", "run_end cancelled"];
    assert_eq!(lines[lines.len() - 3..], expected);
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_intent_is_on_its_way_runs_where_the_run_is_only_to_stop() {
    let (acts, journal) = (Acts::new(), Slow(TextJournal::new()));
    let failure = Line::run(&acts).id("r").journal(journal).stop_on(seconds(1)).await.unwrap_err();
    assert_eq!((failure.step(), acts.called("deploy"), acts.called("check")), (None, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_rolled_back_where_that_is_asked_for() {
    let (acts, seen) = (Acts::new().on("build", [Hang]).on("undo build", [After(5, &Done)]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).cancel_on(seconds(2)).rollback_on_cancel().await.unwrap_err();
    assert_eq!(
        since(&seen, "step_end build"),
        [
            "step_end build cancelled: cancelled",
            "undo_start build",
            "undo_end build undone",
            "undo_start fetch",
            "undo_end fetch undone",
            "run_end rolled_back",
        ]
    );
    assert!(matches!(failure.cause(), Cause::Cancelled));
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_stop_between_steps_is_rolled_back_where_that_is_asked_for() {
    let (acts, seen) = (Acts::new().on("build", [After(3, &Done)]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).stop_on(seconds(1)).rollback_on_cancel().await.unwrap_err();
    assert_eq!(
        since(&seen, "step_end build")[..3],
        ["step_end build completed", "run_end cancelled", "run_resume rollback"]
    );
    assert!(matches!(failure.cause(), Cause::Cancelled));
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_stop_a_rollback_and_a_cancellation_cuts_it_off() {
    let acts = || Acts::new().on("check", [Refuse]).on("undo build", [After(5, &Done)]);
    let (acts, seen) = (acts(), Recorded::new());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback);
    let failure = run.stop_on(seconds(2)).await.unwrap_err();
    assert_eq!(ended(&failure, &seen), RunStatus::RolledBack);

    let (acts, seen) = (Acts::new().on("check", [Refuse]).on("undo build", [After(5, &Done)]), Recorded::new());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback);
    let failure = run.cancel_on(seconds(2)).await.unwrap_err();
    assert_eq!(
        since(&seen, "undo_start build"),
        ["undo_start build", "undo_end build undo_failed: cancelled", "run_end stuck"]
    );
    assert_eq!((acts.called("left undo build"), acts.called("undo fetch")), (1, 0));
    assert_eq!((failure.step(), ended(&failure, &seen)), (Some(Line::Check), RunStatus::Stuck));
}

#[tokio::test(start_paused = true)]
async fn after_a_cancellation_no_undo_is_tried_again() {
    let (acts, seen) = (Acts::new().on("check", [Refuse]).on("undo build", [Busy(60)]), Recorded::new());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback);
    let failure = run.cancel_on(seconds(2)).await.unwrap_err();
    assert_eq!(
        since(&seen, "undo_start build"),
        ["undo_start build", "step_retry build in 60s after busy", "undo_end build undo_failed: busy", "run_end stuck",]
    );
    assert_eq!((acts.called("undo build"), ended(&failure, &seen)), (1, RunStatus::Stuck));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_ends_as_cancelled() {
    for is_shared in [false, true] {
        let acts = Arc::new(Acts::new().on("left", [Hang]).on("right", [Hang]));
        let (seen, journal) = (Recorded::new(), TextJournal::new());
        let is_over = if is_shared {
            let run = Diamond::run(acts.clone()).id("r").observe(seen.clone()).journal(journal.clone());
            timeout(Duration::from_secs(1), run.into_future()).await.is_ok()
        } else {
            let run = Diamond::run(&*acts).id("r").observe(seen.clone()).journal(journal.clone());
            timeout(Duration::from_secs(1), run.into_future()).await.is_ok()
        };
        assert!(!is_over);
        assert_eq!(
            since(&seen, "step_end left"),
            ["step_end left cancelled, dropped", "step_end right cancelled, dropped", "run_end cancelled"]
        );
        give_way().await;
        assert_eq!((acts.called("left left"), acts.called("left right")), (1, 1));
        assert_eq!(journal.events("r"), seen.events());
        assert_eq!(journal.fold("r").unwrap().unwrap().status(), RunStatus::Cancelled);
    }
}

#[derive(Workflow, Debug, PartialEq)]
#[workflow(parallel)]
enum Pair {
    Left,
    Right,
}

/// `left` keeps its thread for itself until it is let go.
struct Blocking {
    has_begun: Notify,
    let_go: Mutex<Receiver<()>>,
    begun: AtomicUsize,
}

impl PairHandler for Blocking {
    type Error = Trouble;

    async fn left(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.has_begun.notify_one();
        self.let_go.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        Ok(())
    }

    async fn right(&self, _: &mut StepContext) -> Result<(), Trouble> {
        sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_run_that_is_dropped_is_given_back_once_no_body_of_it_blocks_its_thread() {
    let (let_go, receiver) = channel();
    let handler = Blocking { has_begun: Notify::new(), let_go: Mutex::new(receiver), begun: AtomicUsize::new(0) };
    let (handler, journal) = (Arc::new(handler), MemoryJournal::new());
    let run = || Pair::run(handler.clone()).id("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = run() => panic!("{ended:?}"),
        () = handler.has_begun.notified() => {}
    }
    let failure = run().await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Owned { .. })), "{failure:?}");
    let_go.send(()).unwrap();
    let report = loop {
        match run().await {
            Ok(report) => break report,
            Err(failure) if matches!(failure.cause(), Cause::Journal(JournalError::Owned { .. })) => {
                sleep(Duration::from_millis(1)).await;
            }
            Err(failure) => panic!("{failure:?}"),
        }
    };
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(handler.begun.load(Ordering::Relaxed), 1, "what the body did stands in the record");
    let lines = lines(&journal.load(&"r".into()).wait().unwrap());
    let at = |line: &str| lines.iter().position(|known| known == line).unwrap();
    assert!(at("step_end left completed") < at("run_end cancelled"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_dropped_is_stuck() {
    let (acts, seen) = (Acts::new().on("check", [Refuse]).on("undo build", [Hang]), Recorded::new());
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback);
    assert!(timeout(Duration::from_secs(1), run.into_future()).await.is_err());
    assert_eq!(
        since(&seen, "undo_start build"),
        ["undo_start build", "undo_end build undo_failed: cancelled", "run_end stuck"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_dropped_between_two_undos_is_stuck() {
    let acts = Acts::new().on("check", [Refuse]).on("undo deploy", [After(1, &Done)]);
    let seen = Recorded::new();
    let run = Line::run(&acts).observe(seen.clone()).on_failure(OnFailure::Rollback).stop_on(std::future::pending());
    assert!(timeout(Duration::from_secs(1), run.into_future()).await.is_err());
    assert_eq!(
        since(&seen, "undo_end deploy"),
        ["undo_end deploy undone", "undo_start scan", "undo_end scan undo_failed: cancelled", "run_end stuck"]
    );
}

/// An error whose text cannot be had.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

impl StepError for Unspeakable {}

#[derive(Workflow, Debug, PartialEq)]
#[workflow(parallel)]
enum Single {
    Only,
}

struct Speechless;

impl SingleHandler for Speechless {
    type Error = Unspeakable;

    async fn only(&self, _: &mut StepContext) -> Result<(), Unspeakable> {
        Err(Unspeakable)
    }
}

#[tokio::test]
async fn an_error_that_panics_as_it_is_told_is_a_panic_of_the_run() {
    for is_shared in [false, true] {
        let seen = Recorded::new();
        let run = if is_shared {
            tokio::spawn(Single::run(Arc::new(Speechless)).observe(seen.clone()).into_future())
        } else {
            tokio::spawn(Single::run(&Speechless).observe(seen.clone()).into_future())
        };
        assert!(run.await.unwrap_err().is_panic(), "{is_shared}");
        assert_eq!(since(&seen, "step_end"), ["step_end only cancelled, panicked", "run_end cancelled"]);
    }
}
