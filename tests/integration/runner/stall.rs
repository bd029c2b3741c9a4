//! Steps of which nothing is heard.

use std::time::Duration;

use step_machine::event::Kind;
use step_machine::runner::HandlerFor;
use step_machine::{StepContext, Workflow};
use tokio::time::sleep;

use super::{Act::*, Acts, Line};
use crate::support::{Recorded, Trouble};

#[derive(Workflow, Debug)]
enum Copy {
    #[step(stalled_after = "10s")]
    Files,
    Check,
}

struct Slow;

impl CopyHandler for Slow {
    type Error = Trouble;

    async fn files(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        sleep(Duration::from_secs(25)).await;
        cx.progress(0.5);
        sleep(Duration::from_secs(9)).await;
        cx.stdout("still here");
        sleep(Duration::from_secs(11)).await;
        Ok(())
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        sleep(Duration::from_secs(3600)).await;
        Ok(())
    }
}

/// Which steps were told of as stalled, after how many seconds of silence, and when.
fn told(seen: &Recorded) -> Vec<(String, u64)> {
    let stalled = |kind: &Kind| match kind {
        Kind::Stalled(stalled) => Some((stalled.step.to_string(), stalled.silent.as_secs())),
        _ => None,
    };
    seen.events().iter().filter_map(|event| stalled(&event.kind)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_silence_is_told_of_once_and_the_next_one_again() {
    let seen = Recorded::new();
    Copy::run(&Slow).observe(seen.clone()).await.unwrap();
    let files = ("files".to_owned(), 10);
    assert_eq!(told(&seen), [files.clone(), files], "`check` says nothing of silence");
    let seen = Recorded::new();
    Copy::run(&Slow).stalled_after(Duration::from_secs(300)).observe(seen.clone()).await.unwrap();
    assert_eq!(told(&seen)[2..], [("check".to_owned(), 300)], "the step's own limit comes first");
    let lines = seen.lines();
    let at = |line: &str| lines.iter().position(|known| known.starts_with(line)).unwrap();
    assert!(at("stalled files") < at("step_update files"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_next_attempt_is_no_silence_and_an_undo_may_be_one() {
    let acts = Acts::new().on("build", [Busy(3600), Done]).on("check", [Refuse]).on("undo scan", [After(400, &Done)]);
    let seen = Recorded::new();
    let run = Line::run(&acts).on_failure(step_machine::OnFailure::Rollback).observe(seen.clone());
    run.stalled_after(Duration::from_secs(300)).await.unwrap_err();
    assert_eq!(told(&seen), [("scan".to_owned(), 300)]);
}

#[derive(Workflow, Debug)]
enum Host {
    #[step(workflow = Copy, stalled_after = "5s")]
    Copy,
}

struct Silent(Duration);

impl CopyHandler for Silent {
    type Error = Trouble;

    async fn files(&self, _: &mut StepContext) -> Result<(), Trouble> {
        sleep(self.0).await;
        Ok(())
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

impl HostHandler for Silent {
    type Error = Trouble;

    fn copy(&self) -> impl HandlerFor<Copy> {
        self
    }
}

#[tokio::test(start_paused = true)]
async fn a_silence_inside_of_a_step_is_one_silence_of_it() {
    let seen = Recorded::new();
    Host::run(&Silent(Duration::from_secs(60))).observe(seen.clone()).await.unwrap();
    assert_eq!(told(&seen), [("copy".to_owned(), 5), ("files".to_owned(), 10)], "each once");
}

#[derive(Workflow, Debug)]
enum Site {
    #[step(workflow = Line)]
    Line,
    Rest,
}

impl SiteHandler for Acts {
    type Error = Trouble;

    fn line(&self) -> impl HandlerFor<Line> {
        self
    }

    async fn rest(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.run(cx).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_inside_of_a_step_is_no_silence_of_it() {
    let (acts, seen) = (Acts::new().on("build", [Busy(3600)]).on("deploy", [After(400, &Done)]), Recorded::new());
    let run = Site::run(&acts).observe(seen.clone()).stalled_after(Duration::from_secs(300));
    let run = tokio::time::timeout(Duration::from_secs(7200), run.into_future());
    run.await.unwrap().unwrap();
    assert_eq!(told(&seen), [("line".to_owned(), 300)], "what comes after it may be one");
}
