//! Real runs whose journals are kept: see `old_journals`.

use std::time::{Duration, Instant, SystemTime};

use step_machine::event::{Event, Kind};
use step_machine::runner::HandlerFor;
use step_machine::time::{Clock, ManualClock};
use step_machine::{OnFailure, StepContext, Workflow};

use super::{Act::*, Acts, Diamond, Line, acts};
use crate::samples::rich_run;
use crate::support::{Recorded, TextJournal, Trouble, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Docker {
    #[step(undo)]
    Pull,
    #[step(undo)]
    Start,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Host {
    #[step(undo)]
    Prepare,
    #[step(workflow = Docker, retry(attempts = 2, delay = "1s", jitter = false))]
    Container,
    Check,
}

acts! {
    DockerHandler {
        run pull,
        undo undo_pull,
        run start,
        undo undo_start,
    }
}

impl HostHandler for Acts {
    type Error = Trouble;

    async fn prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.run(cx).await
    }

    async fn undo_prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.undo(cx).await
    }

    fn container(&self) -> impl HandlerFor<Docker> {
        self
    }

    async fn check(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.run(cx).await
    }
}

/// The time of the runtime, which stands still but for its sleeps.
#[derive(Clone, Copy)]
struct Paused(tokio::time::Instant);

impl Paused {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + self.0.elapsed()
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, _: Duration) {
        panic!("the runner waits with its runtime");
    }
}

const SLOW: super::Act = After(2, &Done);

async fn line(acts: Acts, policy: OnFailure) -> Vec<Event> {
    let seen = Recorded::new();
    let run = Line::run(&acts).id("line/1").clock(Paused::new()).on_failure(policy).observe(seen.clone());
    drop(run.label("who", "anna").input(["web", "db"]).await);
    seen.events()
}

async fn completed() -> Vec<Event> {
    let acts = Acts::new().on("fetch", [SLOW]).on("build", [Refuse, Busy(7)]).on("scan", [Refuse]);
    line(acts.on("skip announce", [Skip]), OnFailure::Stop).await
}

async fn failed() -> Vec<Event> {
    line(Acts::new().on("fetch", [SLOW]).on("build", [Refuse, Hang, After(3, &Refuse)]), OnFailure::Stop).await
}

async fn rolled_back() -> Vec<Event> {
    line(Acts::new().on("deploy", [Panic]), OnFailure::Rollback).await
}

async fn stuck() -> Vec<Event> {
    line(Acts::new().on("deploy", [Fatal]).on("undo fetch", [Fatal]), OnFailure::Rollback).await
}

async fn cancelled() -> Vec<Event> {
    let (acts, seen) = (Acts::new().on("deploy", [Hang]), Recorded::new());
    let asked = tokio::time::sleep(Duration::from_secs(5));
    let run = Line::run(&acts).id("line/1").clock(Paused::new()).observe(seen.clone());
    drop(run.cancel_on(asked).await);
    seen.events()
}

/// What a process leaves that is killed in its second attempt at a step.
async fn interrupted() -> Vec<Event> {
    let mut events = failed().await;
    let second = |event: &Event| matches!(&event.kind, Kind::StepStart(start) if start.attempt == 2);
    let at = events.iter().position(second).unwrap();
    events.truncate(at + 1);
    events
}

async fn parallel() -> Vec<Event> {
    let acts = Acts::new().on("fetch", [SLOW]).on("left", [Refuse]).on("right", [After(3, &Done)]);
    let seen = Recorded::new();
    let run = Diamond::run(&acts).id("diamond/1").clock(Paused::new()).observe(seen.clone());
    run.await.unwrap();
    seen.events()
}

/// The inner workflow fails, is tried again, completes, and is taken back when the outer one fails.
async fn nested() -> Vec<Event> {
    let acts = Acts::new().on("pull", [SLOW]).on("start", [Refuse]).on("check", [Fatal]);
    let seen = Recorded::new();
    drop(Host::run(&acts).id("host/1").clock(Paused::new()).observe(seen.clone()).await);
    seen.events()
}

mod before {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Release {
        Fetch,
        Test,
        Publish,
    }
}

mod after {
    #[derive(step_machine::Workflow)]
    #[workflow(name = "release")]
    pub(super) enum Release {
        #[step(alias = "fetch")]
        Download,
        Test,
        Sign,
    }
}

/// A run with tasks that went on with an enum that had changed.
fn changed() -> Vec<Event> {
    let (journal, clock) = (TextJournal::new(), ManualClock::new());
    let run = before::Release::machine().id("r").journal(journal.clone()).clock(clock.clone()).begin().unwrap();
    let fetch = |cx: &mut StepContext| {
        let (mut first, second) = (cx.task("n1", "Node 1"), cx.task("n2", "Node 2"));
        first.progress(0.5);
        first.message("half");
        clock.advance(Duration::from_secs(3));
        first.complete();
        second.fail("out of space");
        Ok::<_, Trouble>(())
    };
    drop(run.step(before::release::Fetch, fetch).unwrap().step(before::release::Test, refuse).unwrap_err());
    let run = after::Release::machine().id("r").journal(journal.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step(after::release::Download, ok).unwrap().step(after::release::Test, ok).unwrap();
    run.step(after::release::Sign, ok).unwrap().finish().unwrap();
    journal.events("r")
}

/// Every run that is kept, by its name. An event of a nested run stands where it happened.
pub(crate) async fn runs() -> Vec<(&'static str, Vec<Event>)> {
    vec![
        ("cancelled", cancelled().await),
        ("changed", changed()),
        ("completed", completed().await),
        ("failed", failed().await),
        ("interrupted", interrupted().await),
        ("nested", nested().await),
        ("parallel", parallel().await),
        ("rich", rich_run()),
        ("rolled_back", rolled_back().await),
        ("stuck", stuck().await),
    ]
}
