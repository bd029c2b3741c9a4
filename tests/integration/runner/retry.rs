//! When a step is tried again, how long that is waited for, and what bounds it.

use std::time::Duration;

use step_machine::event::{Kind, RunStatus};
use step_machine::testing::{Fault, Faults};
use step_machine::{Cause, StepContext, Workflow};
use tokio::time::Instant;

use super::{Act::*, Acts, Line, about, acts, ended};
use crate::support::{Recorded, Trouble};

/// One step with a bound for all its attempts.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Pressed {
    #[step(retry(attempts = 10, delay = "4s", factor = 1, jitter = false), deadline = "10s")]
    Try,
}

/// One step whose waits are drawn.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Drawn {
    #[step(retry(attempts = 30, delay = "1s", factor = 1.5, max_delay = "4s"))]
    Try,
}

acts! {
    PressedHandler { run r#try, }
    DrawnHandler { run r#try, }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_repeated_after_a_wait_that_grows() {
    let (acts, seen, began) = (Acts::new().on("build", [Refuse, Refuse]), Recorded::new(), Instant::now());
    let report = Line::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(
        about(&seen, "build"),
        [
            "step_start",
            "step_retry in 1s after network",
            "step_start #2",
            "step_retry #2 in 2s after network",
            "step_start #3",
            "step_end completed #3",
        ]
    );
    assert_eq!(began.elapsed().as_secs(), 3);
    let step = report.state().step("build").unwrap();
    assert_eq!((step.attempts(), step.error(), step.is_waiting()), (3, None, false));
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_counts() {
    let (acts, seen) = (Acts::new().on("build", [Refuse, Refuse, Refuse]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!((acts.called("build"), failure.context().record().attempt), (3, 3));
    assert_eq!(about(&seen, "build").last().unwrap(), "step_end failed #3: network");
    assert_eq!(ended(&failure, &seen), RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_not_tried_again() {
    let (acts, seen) = (Acts::new().on("build", [Refuse, Fatal]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!((acts.called("build"), failure.context().kind()), (2, "template"));
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Template)));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_knows_the_wait_is_obeyed() {
    let (acts, seen, began) = (Acts::new().on("build", [Busy(7), Busy(0)]), Recorded::new(), Instant::now());
    Line::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(about(&seen, "build")[1], "step_retry in 7s after busy");
    assert_eq!(about(&seen, "build")[3], "step_retry #2 in 0ns after busy");
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_one_attempt() {
    let (acts, seen, began) = (Acts::new().on("build", [Hang, After(9, &Done)]), Recorded::new(), Instant::now());
    Line::run(&acts).observe(seen.clone()).await.unwrap();
    assert_eq!(
        about(&seen, "build"),
        ["step_start", "step_retry in 1s after timeout", "step_start #2", "step_end completed #2"]
    );
    assert_eq!(began.elapsed().as_secs(), 10 + 1 + 9);
    assert_eq!(acts.called("left build"), 1, "what hung is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_last_attempt_is_the_failure() {
    let (acts, seen) = (Acts::new().on("build", [Hang, Hang, Hang]), Recorded::new());
    let failure = Line::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Timeout { limit } if *limit == Duration::from_secs(10)), "{failure:?}");
    assert_eq!((failure.context().kind(), acts.called("left build")), ("timeout", 3));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let (acts, seen, began) = (Acts::new().on("try", [Refuse; 10]), Recorded::new(), Instant::now());
    let failure = Pressed::run(&acts).observe(seen.clone()).await.unwrap_err();
    assert_eq!((acts.called("try"), began.elapsed().as_secs()), (3, 8));
    assert_eq!(failure.context().kind(), "network");
    assert_eq!(about(&seen, "try").last().unwrap(), "step_end failed #3: network");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_with_the_deadline_is_not_begun() {
    let (acts, began) = (Acts::new().on("try", [Busy(10)]), Instant::now());
    let failure = Pressed::run(&acts).await.unwrap_err();
    assert_eq!((acts.called("try"), began.elapsed().as_secs()), (1, 0));
    assert_eq!(failure.context().kind(), "busy");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_off_an_attempt() {
    let (acts, began) = (Acts::new().on("try", [After(3, &Refuse), Hang]), Instant::now());
    let failure = Pressed::run(&acts).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Timeout { limit } if *limit == Duration::from_secs(10)), "{failure:?}");
    assert_eq!((acts.called("try"), began.elapsed().as_secs()), (2, 10));
}

#[tokio::test(start_paused = true)]
async fn jitter_draws_each_wait_below_its_bound() {
    let (acts, seen) = (Acts::new().on("try", [Refuse; 29]), Recorded::new());
    Drawn::run(&acts).observe(seen.clone()).await.unwrap();
    let retries = seen.events().into_iter().filter_map(|event| match event.kind {
        Kind::StepRetry(retry) => Some(retry),
        _ => None,
    });
    let (mut shares, mut nth) = (Vec::new(), 0);
    for retry in retries {
        nth += 1;
        let bound = 1.5_f64.powi(nth - 1).min(4.0);
        assert!(retry.delay.as_secs_f64() <= bound, "{:?} after attempt {nth}", retry.delay);
        shares.push(retry.delay.as_secs_f64() / bound);
    }
    assert_eq!(nth, 29);
    assert!(shares.iter().any(|share| *share < 0.5) && shares.iter().any(|share| *share > 0.5), "{shares:?}");
}

/// Never waits for anything but the next turn.
struct Restless;

impl PressedHandler for Restless {
    type Error = Trouble;

    async fn r#try(&self, _: &mut StepContext) -> Result<(), Trouble> {
        loop {
            tokio::task::coop::consume_budget().await;
        }
    }
}

#[tokio::test]
async fn a_body_that_leaves_no_time_for_a_timer_is_cut_off_all_the_same() {
    let run = async { Pressed::run(&Restless).deadline(Duration::from_millis(20)).await };
    let failure = run.await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Timeout { limit } if *limit == Duration::from_millis(20)), "{failure:?}");
    let run = Pressed::run(&Restless).cancel_on(tokio::time::sleep(Duration::from_millis(20)));
    assert!(matches!(run.await.unwrap_err().cause(), Cause::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn faults_on_demand_are_attempts_like_others() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    let faults = Faults::new()
        .attempt(Line::Build, 1, Fault::FailAfter)
        .attempt(Line::Build, 2, Fault::Hang)
        .step(Line::Deploy, Fault::Repeat)
        .step(Line::Scan, Fault::Fail);
    Line::run(&acts).faults(faults).observe(seen.clone()).await.unwrap();
    assert_eq!(
        about(&seen, "build"),
        [
            "step_start",
            "step_retry in 1s after injected",
            "step_start #2",
            "step_retry #2 in 2s after timeout",
            "step_start #3",
            "step_end completed #3",
        ]
    );
    assert_eq!(about(&seen, "scan"), ["step_start", "step_end skipped, failed: injected"]);
    assert_eq!((acts.called("build"), acts.called("deploy"), acts.called("scan")), (2, 2, 0));
}
