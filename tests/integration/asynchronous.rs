//! Bodies that wait, futures and guards that are dropped, bodies that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use step_machine::event::{Effect, Event, Kind, StepStatus};
use step_machine::{Cause, Entry, Failure, Observer, Report, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, block_on, give_way, ok, panic_text, unreachable_body};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Deploy {
    Copy,
    #[step(output = u16)]
    Start,
    #[step(critical = false)]
    Announce,
}
use deploy::*;

const WHOLE_RUN: [&str; 8] = [
    "run_start",
    "step_start copy",
    "step_end copy completed",
    "step_start start",
    "step_end start completed",
    "step_start announce",
    "step_end announce skipped, failed: network",
    "run_end completed, warnings: 1",
];

/// A whole run; `wait` is how its bodies wait.
async fn drive(seen: Recorded, wait: impl AsyncFn()) -> Result<(Report<Deploy>, u16), Failure<Deploy, Trouble>> {
    let run = Deploy::machine().observe(seen).begin()?;
    let run = run
        .step_async(Copy, async |_| {
            wait().await;
            Ok::<(), Trouble>(())
        })
        .await?;
    let (run, port) = run
        .step_async(Start, async |_| {
            wait().await;
            Ok::<_, Trouble>(8080)
        })
        .await?;
    let run = run
        .step_async(Announce, async |_| {
            wait().await;
            Err(Trouble::Network)
        })
        .await;
    Ok((run.finish()?, port))
}

#[tokio::test]
async fn a_run_waits_on_tokio() {
    let seen = Recorded::new();
    let (_, port) = drive(seen.clone(), async || tokio::time::sleep(Duration::from_millis(1)).await).await.unwrap();
    assert_eq!(port, 8080);
    assert_eq!(seen.lines(), WHOLE_RUN);
}

#[test]
fn a_run_waits_without_any_runtime() {
    let seen = Recorded::new();
    let (report, port) = block_on(drive(seen.clone(), give_way)).unwrap();
    assert_eq!(port, 8080);
    assert_eq!(seen.lines(), WHOLE_RUN);
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Deploy::Announce]);
}

#[test]
fn an_async_body_borrows_the_context_and_the_callers_data() {
    let seen = Recorded::new();
    let mut copied = Vec::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let run = block_on(run.step_async(Copy, async |cx| {
        for name in ["a", "b"] {
            give_way().await;
            copied.push(name);
            cx.message(name);
        }
        Ok::<(), Trouble>(())
    }));
    drop(run.unwrap());
    assert_eq!(copied, ["a", "b"]);
    assert_eq!(seen.lines()[2..4], ["step_update copy info: a", "step_update copy info: b"]);
}

#[tokio::test]
async fn the_future_is_send_where_its_captures_are() {
    let seen = Recorded::new();
    let name = "a".to_owned();
    let observed = seen.clone();
    // Spawning asks for `Send`.
    let task = tokio::spawn(async move {
        let run = Deploy::machine().observe(observed).begin()?;
        let body = async |cx: &mut StepContext| {
            give_way().await;
            cx.message(name.clone());
            Ok::<(), Trouble>(())
        };
        let run = run.step_async(Copy, body).await?;
        drop(run);
        Ok::<(), Failure<Deploy, Trouble>>(())
    });
    task.await.unwrap().unwrap();
    assert_eq!(seen.lines()[2], "step_update copy info: a");
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_step_and_run_cancelled() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let forever = run.step_async(Copy, async |_| std::future::pending::<Result<(), Trouble>>().await);
    tokio::time::timeout(Duration::from_millis(1), forever).await.unwrap_err();
    assert_eq!(seen.lines(), ["run_start", "step_start copy", "step_end copy cancelled, dropped", "run_end cancelled"]);
    let events = seen.events();
    let Kind::RunEnd(end) = &events[3].kind else { panic!("{:?}", events[3]) };
    let failure = end.failure.as_ref().unwrap();
    assert_eq!(failure.step.as_ref().unwrap(), "copy");
    assert_eq!((&*failure.error.kind, failure.error.effect), ("cancelled", Effect::Unknown));
}

#[test]
fn a_future_that_was_never_polled_has_not_begun_its_step() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    drop(run.step_async(Copy, async |_| Ok::<(), Trouble>(())));
    assert_eq!(seen.lines(), ["run_start", "run_end cancelled"]);
}

#[test]
fn a_step_whose_retry_is_cut_off_is_cancelled_and_not_failed() {
    let seen = Recorded::new();
    let run = Retried::machine().observe(seen.clone()).begin().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = run.step_retry(retried::Only, |cx| {
            assert!(cx.attempt() == 1, "the second attempt breaks");
            Err::<(), _>(Trouble::Network)
        });
    }));
    assert_eq!(panic_text(panic.unwrap_err()), "the second attempt breaks");
    assert_eq!(
        seen.lines()[2..],
        [
            "step_retry only in 0ns after network",
            "step_start only #2",
            "step_end only cancelled #2, panicked",
            "run_end cancelled",
        ]
    );
    let events = seen.events();
    let Kind::RunEnd(end) = &events.last().unwrap().kind else { panic!("{events:?}") };
    // Not the error of the first attempt: that one is history.
    assert_eq!(end.failure.as_ref().unwrap().error.kind, "panic");
}

#[derive(Workflow)]
enum Retried {
    #[step(retry(attempts = 2, delay = "0s"))]
    Only,
}

#[test]
fn a_panic_goes_through_and_is_on_record_before_it_does() {
    let (seen, journal) = (Recorded::new(), TextJournal::new());
    let builder = || Deploy::machine().id("r").journal(journal.clone());
    let run = builder().observe(seen.clone()).begin().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = run.step(Copy, |_| -> Result<(), Trouble> { panic!("the disk is on fire") });
    }));
    assert_eq!(panic_text(panic.unwrap_err()), "the disk is on fire");
    let expected = ["run_start", "step_start copy", "step_end copy cancelled, panicked", "run_end cancelled"];
    assert_eq!(seen.lines(), expected);
    assert_eq!(journal.lines("r"), expected);

    // Cancelled is not the end: the same code goes on.
    let run = builder().begin().unwrap();
    let run = run.step(Copy, |cx| {
        assert_eq!(cx.attempt(), 2);
        Ok::<(), Trouble>(())
    });
    assert_eq!(run.unwrap().state().step("copy").unwrap().status(), StepStatus::Completed);
}

#[test]
fn a_panic_in_an_async_body_is_on_record_too() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = block_on(run.step_async(Copy, async |_| -> Result<(), Trouble> {
            give_way().await;
            panic!("the disk is on fire")
        }));
    }));
    assert_eq!(panic_text(panic.unwrap_err()), "the disk is on fire");
    assert_eq!(seen.lines()[2..], ["step_end copy cancelled, panicked", "run_end cancelled"]);
}

/// Panics at everything it sees.
struct Fragile;

impl Observer for Fragile {
    fn event(&mut self, _: &Event) {
        panic!("too much");
    }
}

#[test]
fn an_observer_that_panics_while_a_panic_passes_is_isolated_all_the_same() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(Fragile).observe(seen.clone()).begin().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = run.step(Copy, |_| -> Result<(), Trouble> { panic!("the disk is on fire") });
    }));
    assert_eq!(panic_text(panic.unwrap_err()), "the disk is on fire");
    assert_eq!(seen.lines()[2..], ["step_end copy cancelled, panicked", "run_end cancelled"]);
}

#[test]
fn a_guard_is_settled_by_a_result() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let Entry::Run(mut guard) = run.enter(Copy) else { panic!("the step has not settled") };
    guard.context().message("by hand");
    let run = guard.complete(Ok::<(), Trouble>(())).unwrap();
    let Entry::Run(guard) = run.enter(Start) else { panic!("the step has not settled") };
    let failure = guard.complete(Err(Trouble::Lost)).unwrap_err();
    assert_eq!(failure.step(), Some(Deploy::Start));
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Lost)));
    assert_eq!(
        seen.lines(),
        [
            "run_start",
            "step_start copy",
            "step_update copy info: by hand",
            "step_end copy completed",
            "step_start start",
            "step_end start failed: lost",
            "run_end failed",
        ]
    );
}

#[test]
fn a_guard_may_be_completed_on_another_thread() {
    let run = Deploy::machine().begin().unwrap();
    let Entry::Run(guard) = run.enter(Copy) else { panic!("the step has not settled") };
    let worker = std::thread::spawn(move || guard.complete(Ok::<(), Trouble>(())));
    let run = worker.join().unwrap().unwrap();
    assert_eq!(run.state().step("copy").unwrap().status(), StepStatus::Completed);
}

#[test]
fn a_guard_that_is_dropped_leaves_step_and_run_cancelled() {
    let seen = Recorded::new();
    let run = Deploy::machine().observe(seen.clone()).begin().unwrap();
    let Entry::Run(guard) = run.enter(Copy) else { panic!("the step has not settled") };
    drop(guard);
    assert_eq!(seen.lines()[2..], ["step_end copy cancelled, dropped", "run_end cancelled"]);
}

#[test]
fn a_step_that_has_settled_before_gives_its_output_without_a_guard() {
    let journal = TextJournal::new();
    let builder = || Deploy::machine().id("r").journal(journal.clone());
    let run = builder().begin().unwrap().step(Copy, ok).unwrap();
    drop(run.step(Start, |_| Ok::<_, Trouble>(8080)).unwrap());

    let run = builder().begin().unwrap();
    let run = block_on(run.step_async(Copy, async |cx| unreachable_body(cx))).unwrap();
    let Entry::Settled(settled) = run.enter(Start) else { panic!("the step has settled") };
    let (_, port) = settled.proceed::<Trouble>().unwrap();
    assert_eq!(port, 8080);
}

#[derive(Workflow, Debug, PartialEq)]
enum Wait {
    #[step(retry(attempts = 3, delay = "2s", jitter = false))]
    Ssh,
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_is_tried_again_after_the_waits_of_its_rule() {
    let (seen, begun) = (Recorded::new(), tokio::time::Instant::now());
    let run = Wait::machine().observe(seen.clone()).begin().unwrap();
    let body = async |cx: &mut StepContext| if cx.attempt() == 3 { Ok(()) } else { Err(Trouble::Network) };
    run.step_retry_async(wait::Ssh, body).await.unwrap().finish().unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(6));
    let expected = [
        "run_start",
        "step_start ssh",
        "step_retry ssh in 2s after network",
        "step_start ssh #2",
        "step_retry ssh #2 in 4s after network",
        "step_start ssh #3",
        "step_end ssh completed #3",
        "run_end completed",
    ];
    assert_eq!(seen.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_of_a_body_that_waits_is_not_tried_again() {
    let run = Wait::machine().begin().unwrap();
    let failure = run.step_retry_async(wait::Ssh, async |_| Err::<(), _>(Trouble::Template)).await.unwrap_err();
    assert_eq!((failure.step(), failure.context().record().attempt), (Some(Wait::Ssh), 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_waited_for_again_and_dropped_is_cancelled() {
    let seen = Recorded::new();
    let run = Wait::machine().observe(seen.clone()).begin().unwrap();
    let waiting = run.step_retry_async(wait::Ssh, async |_| Err::<(), _>(Trouble::Network));
    assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
    assert_eq!(seen.lines()[3..], ["step_end ssh cancelled, dropped", "run_end cancelled"]);
}
