//! Workflows inside of steps.

use std::sync::Arc;
use std::time::Duration;

use step_machine::event::{Kind, RunStatus};
use step_machine::runner::HandlerFor;
use step_machine::{Cause, JournalError, MemoryJournal, OnFailure, StepContext, Workflow};
use tokio::time::{Instant, sleep, timeout};

use super::{Act::*, Acts, acts, faults::Faulty, since};
use crate::support::{Recorded, TextJournal, Trouble, line};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Docker {
    #[step(undo)]
    Pull,
    #[step(undo)]
    Start,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
pub(super) enum Node {
    #[step(undo)]
    Prepare,
    #[step(workflow = Docker, retry(attempts = 2, delay = "1s", jitter = false))]
    Container,
    Check,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fleet {
    #[step(workflow = Node, retry(attempts = 2, delay = "0s"))]
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
pub(super) fn told(seen: &Recorded) -> Vec<String> {
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
async fn a_run_inside_that_took_itself_back_begins_anew() {
    let (acts, journal) = (Acts::new().on("check", [Refuse]).on("balance", [Refuse]), TextJournal::new());
    let run = Fleet::run(&acts).id("f").on_failure(OnFailure::Rollback);
    let failure = run.journal(journal.clone()).await.unwrap_err();
    assert_eq!(acts.calls()[4..7], ["undo start", "undo pull", "undo prepare"]);
    assert_eq!(acts.calls()[7..11], ["prepare", "pull", "start", "check"]);
    assert_eq!(acts.calls()[11..], ["balance", "undo balance", "undo start", "undo pull", "undo prepare"]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    for run in ["f/first/node", "f/first/node/2", "f/first/node/2/container/docker"] {
        assert_eq!(journal.lines(run).last().unwrap(), "run_end rolled_back", "{run}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_journal_of_the_outer_run_fails_nothing_begins_inside() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new());
        let journal = Faulty::refusing(refused, &acts).of("n");
        let Err(failure) = Node::run(&*acts).id("n").journal(journal.clone()).await else {
            return assert!(refused > 5);
        };
        assert!(matches!(failure.cause(), Cause::Journal(_)), "{refused}: {failure:?}");
        // The first two writes are the outer step's own; the others are news, for which nothing waits.
        let late = acts.calls().len() - journal.bodies();
        assert!(late <= usize::from(refused > 2), "{refused}: {:?}", acts.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_journal_fails_inside_of_an_undo_nothing_else_is_undone() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new().on("check", [Refuse]));
        let kept = TextJournal::new();
        let journal = Faulty::refusing(refused, &acts).keeping(&kept).of("n/container/docker");
        let failure = Node::run(&*acts).id("n").journal(journal.clone()).await.unwrap_err();
        if failure.state().unwrap().status() == RunStatus::RolledBack {
            return assert!(refused > 6, "{refused}");
        }
        if !acts.calls().iter().any(|call| call == "check") {
            continue;
        }
        let error = failure.journal_error();
        assert!(matches!(error, Some(JournalError::Write { .. })), "{refused}: {failure:?}");
        assert_eq!(failure.step(), Some(Node::Check), "the failure stays what it was");
        assert_eq!(journal.bodies(), acts.calls().len(), "{refused}: {:?}", acts.calls());
        assert_eq!(kept.lines("n").last().unwrap(), "undo_start container", "{refused}");
        drop(failure);
        let failure = Node::run(&*acts).id("n").journal(kept.clone()).await.unwrap_err();
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack, "{refused}");
        assert_eq!(acts.called("undo prepare"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_that_is_dropped_ends_before_the_one_that_it_is_in() {
    let (acts, seen) = (Acts::new().on("start", [Hang]), Recorded::new());
    let run = Fleet::run(&acts).id("f").observe(seen.clone());
    assert!(timeout(Duration::from_secs(1), run.into_future()).await.is_err());
    let ends: Vec<_> = told(&seen).into_iter().filter(|line| line.contains("run_end")).collect();
    assert_eq!(
        ends,
        ["f/first/node/container/docker: run_end cancelled", "f/first/node: run_end cancelled", "f: run_end cancelled"]
    );
    assert_eq!(told(&seen).last(), ends.last(), "nothing comes after the end");
}
