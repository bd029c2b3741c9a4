//! Workflows inside of steps.

use std::sync::Arc;
use std::time::Duration;

use step_machine::event::{Kind, RunStatus};
use step_machine::runner::HandlerFor;
use step_machine::{Cause, Failure, MemoryJournal, OnFailure, StepContext, StepError, Workflow};
use tokio::time::{Instant, sleep, timeout};

use super::{Act::*, Acts, Diamond, acts, since};
use crate::support::{Recorded, TextJournal, Trouble, line};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Docker {
    #[step(undo)]
    Pull,
    #[step(undo)]
    Start,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Node {
    #[step(undo)]
    Prepare,
    #[step(workflow = Docker, retry(attempts = 2, delay = "1s", jitter = false))]
    Container,
    Check,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Fleet {
    #[step(workflow = Node)]
    First,
    #[step(undo)]
    Balance,
}

acts! {
    DockerHandler {
        run pull,
        undo undo_pull,
        run start,
        undo undo_start,
    }
}

impl NodeHandler for Acts {
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

impl FleetHandler for Acts {
    type Error = Trouble;

    fn first(&self) -> impl HandlerFor<Node> {
        self
    }

    async fn balance(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.run(cx).await
    }

    async fn undo_balance(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.undo(cx).await
    }
}

/// The events with the runs that they belong to.
fn told(seen: &Recorded) -> Vec<String> {
    seen.events().iter().map(|event| format!("{}: {}", event.run, line(event))).collect()
}

#[tokio::test]
async fn what_happens_inside_is_told_under_the_run_of_its_own() {
    let (acts, seen) = (Acts::new(), Recorded::new());
    Node::run(&acts).id("n").observe(seen.clone()).await.unwrap();
    assert_eq!(
        told(&seen)[2..],
        [
            "n: step_end prepare completed",
            "n: step_start container",
            "n/container/docker: run_start",
            "n/container/docker: step_start pull",
            "n/container/docker: step_end pull completed",
            "n: step_update container 0.5",
            "n/container/docker: step_start start",
            "n/container/docker: step_end start completed",
            "n: step_update container 1",
            "n/container/docker: run_end completed",
            "n: step_end container completed",
            "n: step_start check",
            "n: step_end check completed",
            "n: run_end completed",
        ]
    );
    let events = seen.events();
    let start = events.iter().find_map(|event| match &event.kind {
        Kind::RunStart(start) if event.run.to_string() != "n" => Some(start),
        _ => None,
    });
    let parent = start.unwrap().parent.as_ref().unwrap();
    assert_eq!((parent.run.to_string().as_str(), parent.step.id()), ("n", "container"));
}

#[tokio::test(start_paused = true)]
async fn the_failure_inside_is_the_error_of_the_step() {
    let (acts, seen) = (Acts::new().on("start", [Refuse, Fatal]), Recorded::new());
    let failure = Node::run(&acts).id("n").observe(seen.clone()).await.unwrap_err();
    let error = &failure.context().record().error;
    assert_eq!((failure.step(), error.kind.as_ref()), (Some(Node::Container), "template"));
    let nested = error.nested.as_ref().unwrap();
    assert_eq!((nested.run.to_string().as_str(), nested.step.as_ref().unwrap().id()), ("n/container/docker", "start"));
    assert!(matches!(failure.cause(), Cause::Nested(_)));
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(acts.calls(), ["prepare", "pull", "start", "start", "undo start", "undo pull", "undo prepare"]);
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_on_where_the_run_inside_was() {
    for journal in [None, Some(MemoryJournal::new())] {
        let (acts, seen) = (Acts::new().on("start", [Refuse]), Recorded::new());
        let run = Node::run(&acts).id("n").observe(seen.clone());
        journal.into_iter().fold(run, step_machine::Runner::journal).await.unwrap();
        assert_eq!((acts.called("pull"), acts.called("start")), (1, 2));
        assert_eq!(
            since(&seen, "step_retry")[..5],
            [
                "step_retry container in 1s after network",
                "step_start container #2",
                "run_resume",
                "step_update container 0.5",
                "step_start start #2",
            ]
        );
    }
}

#[tokio::test]
async fn what_a_completed_run_inside_did_is_taken_back_with_the_rest() {
    for journal in [None, Some(MemoryJournal::new())] {
        let (acts, seen) = (Acts::new().on("check", [Refuse]), Recorded::new());
        let run = Node::run(&acts).id("n").observe(seen.clone());
        let failure = journal.into_iter().fold(run, step_machine::Runner::journal).await.unwrap_err();
        assert_eq!(acts.calls()[4..], ["undo start", "undo pull", "undo prepare"]);
        assert_eq!(
            since(&seen, "undo_start container"),
            [
                "undo_start container",
                "run_resume rollback",
                "undo_start start",
                "undo_end start undone",
                "undo_start pull",
                "undo_end pull undone",
                "run_end rolled_back",
                "undo_end container undone",
                "undo_start prepare",
                "undo_end prepare undone",
                "run_end rolled_back",
            ]
        );
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_that_is_stuck_makes_the_run_stuck_and_goes_on_with_it() {
    let journal = MemoryJournal::new();
    let acts = Acts::new().on("check", [Refuse]).on("undo pull", [Fatal, Fatal]);
    let failure = Node::run(&acts).id("n").journal(journal.clone()).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::Stuck);
    let rollback = failure.context().record().rollback.as_ref().unwrap();
    let error = rollback.undos[0].error.as_ref().unwrap();
    assert_eq!(
        (rollback.undos[0].step.id(), error.nested.as_ref().unwrap().rollback.as_ref().unwrap().status),
        ("container", RunStatus::Stuck)
    );
    assert_eq!((acts.called("undo pull"), acts.called("undo prepare")), (2, 1), "an undo has the attempts of its step");

    let failure = Node::run(&acts).id("n").journal(journal.clone()).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!((acts.called("undo start"), acts.called("undo pull"), acts.called("undo prepare")), (1, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_the_run_inside() {
    let (acts, seen) = (Acts::new().on("pull", [After(3, &Done)]), Recorded::new());
    let run = Fleet::run(&acts).id("f").observe(seen.clone()).stop_on(sleep(Duration::from_secs(1)));
    let failure = run.await.unwrap_err();
    let told = told(&seen);
    assert_eq!(
        told[told.len() - 8..told.len() - 1],
        [
            "f/first/node/container/docker: step_end pull completed",
            "f/first/node: step_update container 0.5",
            "f: step_update first 0.5",
            "f/first/node/container/docker: run_end cancelled",
            "f/first/node: step_end container cancelled: cancelled",
            "f/first/node: run_end cancelled",
            "f: step_end first cancelled: cancelled",
        ]
    );
    assert!(matches!(failure.cause(), Cause::Cancelled));
    assert_eq!(failure.state().unwrap().status(), RunStatus::Cancelled);
    assert_eq!(acts.called("start"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_goes_on_at_the_step_inside_of_the_run_inside() {
    let (acts, journal, began) = (Acts::new().on("start", [Hang]), TextJournal::new(), Instant::now());
    let run = || Fleet::run(&acts).id("f").journal(journal.clone());
    let failure = run().cancel_on(sleep(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!((failure.step(), began.elapsed().as_secs()), (Some(Fleet::First), 1));
    assert_eq!(
        journal.lines("f/first/node/container/docker").last_chunk::<2>().unwrap(),
        &["step_end start cancelled, dropped", "run_end cancelled"]
    );
    drop(failure);
    run().await.unwrap();
    for (place, times) in [("prepare", 1), ("pull", 1), ("start", 2), ("left start", 1), ("check", 1), ("balance", 1)] {
        assert_eq!(acts.called(place), times, "{place}");
    }
    let inside = journal.fold("f/first/node/container/docker").unwrap().unwrap();
    assert_eq!(inside.status(), RunStatus::Completed);
}

#[tokio::test]
async fn a_grandchild_is_taken_back_too() {
    let (acts, seen) = (Acts::new().on("balance", [Refuse]), Recorded::new());
    let run = Fleet::run(&acts).id("f").observe(seen.clone()).on_failure(OnFailure::Rollback);
    let failure = run.await.unwrap_err();
    assert_eq!(acts.calls()[5..], ["undo balance", "undo start", "undo pull", "undo prepare"]);
    assert_eq!(failure.step(), Some(Fleet::Balance));
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}

#[derive(Debug, thiserror::Error, StepError)]
enum Inside {
    #[error(transparent)]
    #[step_error(transparent)]
    Docker(#[from] Failure<Docker, Trouble>),
    #[error(transparent)]
    #[step_error(transparent)]
    Diamond(#[from] Failure<Diamond, Trouble>),
    #[error("not now")]
    NotNow,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Both {
    #[step(undo, timeout = "10s", retry(attempts = 2, delay = "0s", jitter = false))]
    Containers,
    Check,
}

/// Runs the same workflow twice in one step.
struct Twice(Arc<Acts>);

impl BothHandler for Twice {
    type Error = Inside;

    async fn containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
        cx.nested(Docker::run(&*self.0).id("a")).await?;
        cx.nested(Docker::run(&*self.0).id("b")).await?;
        Ok(())
    }

    async fn undo_containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
        cx.nested(Docker::run(&*self.0).id("b")).await?;
        cx.nested(Docker::run(&*self.0).id("a")).await?;
        Ok(())
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Inside> {
        Err(Inside::NotNow)
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_may_run_a_workflow_twice_under_ids_of_their_own() {
    let (acts, seen) = (Arc::new(Acts::new().on("start", [Done, Refuse])), Recorded::new());
    let failure = Both::run(&Twice(acts.clone())).id("b").observe(seen.clone()).await.unwrap_err();
    assert_eq!(failure.step(), Some(Both::Check));
    assert_eq!(
        acts.calls(),
        ["pull", "start", "pull", "start", "start", "undo start", "undo pull", "undo start", "undo pull"]
    );
    let ends: Vec<_> = told(&seen).into_iter().filter(|line| line.contains("run_end")).collect();
    assert_eq!(
        ends,
        [
            "b/containers/a: run_end completed",
            "b/containers/b: run_end failed",
            "b/containers/b: run_end completed",
            "b/containers/b: run_end rolled_back",
            "b/containers/a: run_end rolled_back",
            "b: run_end rolled_back",
        ]
    );
}

/// Runs parallel steps as tasks of the runtime inside a step.
struct Spawning(Arc<Acts>);

impl BothHandler for Spawning {
    type Error = Inside;

    async fn containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
        cx.nested(Diamond::run(self.0.clone())).await?;
        Ok(())
    }

    async fn undo_containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
        cx.nested(Diamond::run(self.0.clone())).await?;
        Ok(())
    }

    async fn check(&self, _: &mut StepContext) -> Result<(), Inside> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_that_is_cut_off_has_ended_before_the_next_attempt() {
    let acts = Arc::new(Acts::new().on("left", [Hang]));
    let (seen, journal) = (Recorded::new(), TextJournal::new());
    Both::run(&Spawning(acts.clone())).id("b").observe(seen.clone()).journal(journal.clone()).await.unwrap();
    assert_eq!(
        since(&seen, "step_end left")[..8],
        [
            "step_end left cancelled, dropped",
            "run_end cancelled",
            "step_retry containers in 0ns after timeout",
            "step_start containers #2",
            "run_resume",
            "step_update containers 0.6",
            "step_start left #2 interrupted",
            "step_end left completed #2",
        ]
    );
    let inside = journal.fold("b/containers/diamond").unwrap().unwrap();
    assert_eq!(inside.status(), RunStatus::Completed);
    assert_eq!((acts.called("fetch"), acts.called("left"), acts.called("left left")), (1, 2, 1));
}

mod renamed {
    use super::*;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    #[workflow(name = "node", on_failure = "rollback")]
    pub(super) enum Renamed {
        #[step(undo)]
        Prepare,
        #[step(workflow = Docker, alias = "container")]
        Image,
        Check,
    }

    impl RenamedHandler for Acts {
        type Error = Trouble;

        async fn prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
            self.run(cx).await
        }

        async fn undo_prepare(&self, cx: &mut StepContext) -> Result<(), Trouble> {
            self.undo(cx).await
        }

        fn image(&self) -> impl HandlerFor<Docker> {
            self
        }

        async fn check(&self, cx: &mut StepContext) -> Result<(), Trouble> {
            self.run(cx).await
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_renamed_finds_the_run_inside() {
    let (acts, journal) = (Acts::new().on("start", [Hang]), TextJournal::new());
    let run = Node::run(&acts).id("n").journal(journal.clone());
    assert!(timeout(Duration::from_secs(1), run.into_future()).await.is_err());
    renamed::Renamed::run(&acts).id("n").journal(journal.clone()).await.unwrap();
    assert_eq!((acts.called("prepare"), acts.called("pull"), acts.called("start")), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_on_where_a_grandchild_was() {
    let acts = Acts::new().on("check", [Refuse]);
    let first = Fleet::run(&acts).id("f").on_failure(OnFailure::Rollback).await.unwrap_err();
    assert_eq!(first.context().kind(), "network");
    assert_eq!(acts.calls()[4..], ["undo start", "undo pull", "undo prepare"], "the run inside takes itself back");
}
