//! Workflows inside of steps that are to run again.

use std::sync::Arc;
use std::time::Duration;

use step_machine::OnFailure;
use step_machine::event::{Kind, RunStatus};
use tokio::time::sleep;

use super::nested::{Fleet, Node, told};
use super::{Act::*, Acts, faults::Faulty};
use crate::support::{Recorded, TextJournal};

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
