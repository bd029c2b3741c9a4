//! Workflows inside of steps that are to run again.

use std::sync::Arc;
use std::time::Duration;

use step_machine::event::{Kind, RunStatus};
use step_machine::runner::HandlerFor;
use step_machine::testing::{Crash, crash_everywhere};
use step_machine::{OnFailure, StepContext, Workflow};
use tokio::time::sleep;

use super::nested::{Docker, Fleet, Node, told};
use super::{Act::*, Acts, faults::Faulty};
use crate::support::{Recorded, TextJournal, Trouble};

fn called(acts: &Acts) -> [usize; 4] {
    ["prepare", "pull", "start", "check"].map(|step| acts.called(step))
}

#[tokio::test]
async fn what_a_step_nests_runs_again_with_it() {
    let (acts, journal, seen) = (Acts::new(), TextJournal::new(), Recorded::new());
    let run = || Node::run(&acts).id("n").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Node::Container).observe(seen.clone()).await.unwrap();
    assert_eq!(called(&acts), [1, 2, 2, 2]);
    assert_eq!(
        told(&seen)[..5],
        [
            "n: run_resume again",
            "n: step_start container #2",
            "n/container/docker: run_resume again",
            // Progress never falls, also inside.
            "n: step_update container 1",
            "n/container/docker: step_start pull #2",
        ]
    );
    let events = seen.events();
    let Kind::RunResume(resume) = &events[2].kind else { panic!("{:?}", events[2]) };
    assert_eq!((resume.again.len(), resume.parent_attempt), (2, Some(2)));
    let nested = journal.fold("n/container/docker").unwrap().unwrap();
    assert_eq!((nested.status(), nested.parent().unwrap().attempt), (RunStatus::Completed, 2));

    // Once it has run again, it has.
    run().await.unwrap();
    run().retry_from(Node::Check).await.unwrap();
    assert_eq!(called(&acts), [1, 2, 2, 3]);
}

#[tokio::test]
async fn so_does_what_is_nested_in_it() {
    let (acts, journal) = (Acts::new(), TextJournal::new());
    let run = || Fleet::run(&acts).id("f").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Fleet::First).await.unwrap();
    assert_eq!((called(&acts), acts.called("balance")), ([2, 2, 2, 2], 2));
    run().retry_from(Fleet::Balance).await.unwrap();
    assert_eq!((called(&acts), acts.called("balance")), ([2, 2, 2, 2], 3));
}

#[tokio::test(start_paused = true)]
async fn so_does_what_was_left_half_way() {
    let (acts, journal) = (Acts::new().on("start", [Fatal, Fatal, Hang]), TextJournal::new());
    let run = || Node::run(&acts).id("n").journal(journal.clone()).on_failure(OnFailure::Stop);
    run().await.unwrap_err();
    assert_eq!(called(&acts), [1, 1, 2, 0], "the step that nests it has two attempts");
    // What a step before it does again is not to meet the work of the round before.
    run().retry_from(Node::Prepare).cancel_on(sleep(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(called(&acts), [2, 2, 3, 0]);
    // Asked for once more, it is done once more.
    run().retry_from(Node::Prepare).await.unwrap();
    assert_eq!(called(&acts), [3, 3, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_failed_can_begin_anew_inside_and_goes_on_otherwise() {
    for (again, expected) in [(true, [1, 2, 3, 1]), (false, [1, 1, 3, 1])] {
        let (acts, journal) = (Acts::new().on("start", [Fatal, Fatal]), TextJournal::new());
        let run = || Node::run(&acts).id("n").journal(journal.clone()).on_failure(OnFailure::Stop);
        run().await.unwrap_err();
        if again {
            run().retry_from(Node::Container).await.unwrap()
        } else {
            run().await.unwrap()
        };
        assert_eq!(called(&acts), expected);
    }
}

/// With a nested workflow that may fail.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Farm {
    #[step(critical = false, workflow = Hall)]
    North,
    Last,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Hall {
    #[step(workflow = Docker)]
    Rack,
}

impl HallHandler for Acts {
    type Error = Trouble;

    fn rack(&self) -> impl HandlerFor<Docker> {
        self
    }
}

impl FarmHandler for Acts {
    type Error = Trouble;

    fn north(&self) -> impl HandlerFor<Hall> {
        self
    }

    async fn last(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.run(cx).await
    }
}

#[tokio::test]
async fn a_nested_run_that_failed_half_way_in_another_one_begins_anew_with_both() {
    let (acts, journal) = (Acts::new().on("start", [Fatal]), TextJournal::new());
    let run = || Farm::run(&acts).id("f").journal(journal.clone());
    let report = run().await.unwrap();
    assert_eq!((report.warnings().count(), acts.calls()), (1, vec!["pull".into(), "start".into(), "last".into()]));
    let report = run().retry_from(Farm::North).await.unwrap();
    assert_eq!(report.warnings().count(), 0);
    assert_eq!(acts.calls()[3..], ["pull", "start", "last"]);
}

#[tokio::test(start_paused = true)]
async fn a_round_goes_on_wherever_its_process_dies() {
    let crashed = crash_everywhere(async |crash: Crash| {
        let acts = Acts::new();
        let ended = crash.drive(async |journal| {
            let run = || Node::run(&acts).id("n").journal(journal.clone());
            run().await?;
            run().retry_from(Node::Container).await
        });
        let report = ended.await?.unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        let [prepared, pulled, started, checked] = called(&acts);
        assert!((1..=3).contains(&prepared), "{:?}", acts.calls());
        assert!(pulled >= 2 && started >= 2 && checked >= 2, "{:?}", acts.calls());
        Ok(())
    });
    assert!(crashed.await.unwrap().writes() > 12);
}

#[tokio::test]
async fn what_was_done_in_all_rounds_is_taken_back_once() {
    let (acts, journal) = (Acts::new().on("check", [Done, Refuse]), TextJournal::new());
    let run = || Node::run(&acts).id("n").journal(journal.clone());
    run().await.unwrap();
    let failure = run().retry_from(Node::Container).on_failure(OnFailure::Rollback).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(acts.calls()[7..], ["undo start", "undo pull", "undo prepare"]);
    assert_eq!(journal.fold("n/container/docker").unwrap().unwrap().status(), RunStatus::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_was_cut_off_goes_on_where_it_was() {
    let (acts, journal) = (Acts::new().on("start", [Done, Hang]), TextJournal::new());
    let run = || Node::run(&acts).id("n").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Node::Container).cancel_on(sleep(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(called(&acts), [1, 2, 2, 1]);
    run().await.unwrap();
    assert_eq!(called(&acts), [1, 2, 3, 2], "`pull` is not run a third time");
}

#[tokio::test(start_paused = true)]
async fn wherever_the_journal_fails_in_it_a_round_is_done_once() {
    for refused in 1.. {
        let acts = Arc::new(Acts::new());
        let kept = TextJournal::new();
        let faulty = Faulty::refusing(refused, &acts).keeping(&kept);
        let run = || Node::run(&*acts).id("n");
        run().journal(kept.clone()).await.unwrap();
        let ended = run().journal(faulty).retry_from(Node::Container).await;
        if ended.is_ok() {
            return assert!(refused > 6, "{refused}");
        }
        drop(ended);
        let is_asked_for = kept.fold("n").unwrap().unwrap().status() != RunStatus::Completed;
        run().journal(kept.clone()).await.unwrap();
        let inside = kept.fold("n/container/docker").unwrap().unwrap();
        assert_eq!(inside.status(), RunStatus::Completed, "{refused}");
        // A body whose outcome could not be written is called again; what is recorded as done, once a round.
        let lines = kept.lines("n/container/docker");
        for step in ["pull", "start"] {
            let done = lines.iter().filter(|line| line.starts_with(&format!("step_end {step} completed"))).count();
            assert_eq!(done, if is_asked_for { 2 } else { 1 }, "{refused}: {step} in {lines:?}");
        }
    }
}
