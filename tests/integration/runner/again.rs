//! Runs that are asked for as new or as kept, that run settled steps again, that begin as a copy of another one, and
//! that need something for themselves.

use step_machine::event::{Kind, Reason, RunStatus, StepStatus};
use step_machine::journal::RunQuery;
use step_machine::{Cause, Failure, Journal, JournalError, MemoryJournal, RunState, Workflow};

use super::{Act::*, Acts, Diamond, Line, statuses};
use crate::support::{Recorded, TextJournal, Trouble, lines};

fn journal_error<W>(failure: Failure<W, Trouble>) -> JournalError {
    match failure.into_parts().1 {
        Cause::Journal(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Another workflow that touches the same things.
#[derive(Workflow, Debug)]
enum Other {
    Only,
}

#[tokio::test]
async fn a_run_is_begun_or_resumed_only_as_it_was_asked_for() {
    let (acts, journal) = (Acts::new().on("deploy", [Refuse]), MemoryJournal::new());
    let run = || Line::run(&acts).journal(journal.clone());
    let error = journal_error(run().resume("r").await.unwrap_err());
    assert!(matches!(&error, JournalError::NotFound { run } if run.to_string() == "r"), "{error:?}");
    assert_eq!(error.to_string(), "run r is not in the journal; start it, or look for its id in the list of runs");
    assert_eq!((acts.calls().len(), journal.list(&RunQuery::all()).wait().unwrap().len()), (0, 0));

    run().start("r").await.unwrap_err();
    let calls = acts.calls().len();
    let error = journal_error(run().start("r").await.unwrap_err());
    assert_eq!(error.to_string(), "run r is in the journal already; resume it, or choose another id");
    assert_eq!(acts.calls().len(), calls);

    run().resume("r").await.unwrap();
    assert_eq!((acts.called("fetch"), acts.called("deploy")), (1, 2));
    assert!(matches!(Line::run(&acts).resume("r").await.unwrap_err().cause(), Cause::Journal(_)), "no journal has it");
    let error = Other::machine().id("o").journal(journal.clone()).resume("o").begin().unwrap_err();
    assert!(matches!(error, JournalError::NotFound { .. }), "{error:?}");
    drop(Other::machine().journal(journal.clone()).start("o").begin().unwrap());
    let error = Other::machine().journal(journal.clone()).start("o").begin().unwrap_err();
    assert!(matches!(error, JournalError::Exists { .. }), "{error:?}");
    let _ = Other::machine().journal(journal).start_or_resume("o").begin().unwrap();
}

#[tokio::test]
async fn a_settled_step_and_what_comes_after_it_run_again() {
    let (acts, journal, seen) = (Acts::new(), TextJournal::new(), Recorded::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone()).observe(seen.clone());
    run().await.unwrap();
    let earlier = seen.events().len();
    let report = run().retry_from(Line::Scan).await.unwrap();
    assert_eq!(
        seen.lines_after(earlier)[..3],
        ["run_resume again", "step_start scan #2", "step_end scan completed #2"]
    );
    let Kind::RunResume(resume) = &seen.events()[earlier].kind else { panic!("no resume") };
    let again: Vec<_> = resume.again.iter().map(ToString::to_string).collect();
    assert_eq!(again, ["scan", "announce", "deploy", "check"]);
    assert_eq!((acts.called("fetch"), acts.called("build"), acts.called("scan"), acts.called("check")), (1, 1, 2, 2));
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(journal.fold("r").unwrap().as_ref(), Some(report.state()));
    let percentages: Vec<f64> = seen.events().iter().map(|event| event.progress.as_ref().unwrap().percentage).collect();
    assert!(percentages.is_sorted(), "progress never falls: {percentages:?}");
}

#[tokio::test]
async fn what_runs_again_can_fail_and_is_taken_back_with_all_that_was_done() {
    let (acts, journal) = (Acts::new().on("deploy", [Done, Refuse]), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone());
    run().await.unwrap();
    let failure = run().retry_from(Line::Deploy).on_failure(step_machine::OnFailure::Rollback).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(failure.context().record().attempt, 2);
    let undone = ["undo deploy", "undo scan", "undo build", "undo fetch"];
    assert!(undone.iter().all(|undo| acts.called(undo) == 1), "{:?}", acts.calls());
    let error = journal_error(run().retry_from(Line::Deploy).await.unwrap_err());
    assert!(matches!(error, JournalError::Over { status: RunStatus::RolledBack, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_being_taken_back_does_not_run_again() {
    let (acts, journal) = (Acts::new().on("check", [Refuse]).on("undo fetch", [Refuse]), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone()).on_failure(step_machine::OnFailure::Rollback);
    run().await.unwrap_err();
    let before = journal.lines("r");
    assert_eq!(before.last().unwrap(), "run_end stuck");
    for step in [Line::Fetch, Line::Deploy] {
        let error = journal_error(run().retry_from(step).await.unwrap_err());
        assert!(matches!(error, JournalError::Over { status: RunStatus::Stuck, .. }), "{error:?}");
    }
    assert_eq!(journal.lines("r"), before, "nobody who asked to go forward is taken back");
}

#[tokio::test]
async fn beside_others_only_what_needs_it_runs_again() {
    let (acts, journal) = (Acts::new(), TextJournal::new());
    let run = || Diamond::run(&acts).id("r").journal(journal.clone());
    run().await.unwrap();
    run().retry_from(Diamond::Left).await.unwrap();
    let called = |step| acts.called(step);
    assert_eq!([called("fetch"), called("right"), called("apart")], [1, 1, 1]);
    assert_eq!([called("left"), called("join")], [2, 2]);
    assert_eq!(journal.fold("r").unwrap().unwrap().status(), RunStatus::Completed);
}

#[tokio::test]
async fn a_step_that_has_not_settled_yet_just_runs() {
    let (acts, journal) = (Acts::new().on("deploy", [Refuse]), TextJournal::new());
    let run = || Line::run(&acts).id("r").journal(journal.clone());
    run().await.unwrap_err();
    run().retry_from(Line::Check).await.unwrap();
    assert_eq!((acts.called("scan"), acts.called("deploy"), acts.called("check")), (1, 2, 1));
    let error = journal_error(Line::run(&acts).id("new").journal(journal).retry_from(Line::Check).await.unwrap_err());
    assert!(matches!(error, JournalError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_run_that_begins_as_a_copy_takes_over_outputs_and_undoes_none_of_them() {
    let (acts, journal, seen) = (Acts::new().on("scan", [Refuse]), TextJournal::new(), Recorded::new());
    Line::run(&acts).id("old").journal(journal.clone()).await.unwrap();
    let before = journal.lines("old");
    let calls = acts.calls().len();

    let run = || Line::run(&acts).id("new").journal(journal.clone()).fork("old", Line::Deploy);
    let report = run().observe(seen.clone()).label("why", "other flags").await.unwrap();
    assert_eq!(acts.calls()[calls..], ["deploy", "check"]);
    let events = seen.events();
    let Kind::RunStart(start) = &events[0].kind else { panic!("no start") };
    let forked = start.forked.as_ref().unwrap();
    assert_eq!((forked.run.to_string().as_str(), forked.step.to_string().as_str()), ("old", "deploy"));
    assert_eq!(start.labels["why"], "other flags");
    use StepStatus::{Completed, Skipped};
    assert_eq!(statuses(report.state())[..4], [Completed, Completed, Skipped, Completed]);
    let (fetch, scan) = (report.state().step("fetch").unwrap(), report.state().step("scan").unwrap());
    assert_eq!((fetch.reason(), fetch.attempts(), fetch.output()), (Some(Reason::Forked), 0, Some(&7.into())));
    assert_eq!((scan.reason(), report.state().warnings()), (Some(Reason::Forked), 0), "the other run's warning");
    assert_eq!(journal.lines("old"), before, "the other run stays as it is");
    assert_eq!(journal.fold("new").unwrap().as_ref(), Some(report.state()));
    run().await.unwrap();
    assert_eq!(acts.called("deploy"), 2, "the copy goes on as what it is, and is not made again");

    let failing = Acts::new().on("check", [Refuse]);
    let run = Line::run(&failing).id("third").journal(journal.clone()).fork("old", Line::Deploy);
    let failure = run.on_failure(step_machine::OnFailure::Rollback).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(failing.calls(), ["deploy", "check", "undo deploy"]);
    let error = journal_error(Line::run(&acts).journal(journal.clone()).fork("none", Line::Deploy).await.unwrap_err());
    assert!(matches!(error, JournalError::NotFound { .. }), "{error:?}");
    let run = Diamond::run(&acts).journal(journal.clone()).fork("old", Diamond::Join);
    assert!(matches!(journal_error(run.await.unwrap_err()), JournalError::OtherWorkflow { .. }));
}

#[tokio::test]
async fn a_copy_of_a_graph_takes_over_what_does_not_need_the_step() {
    let (acts, journal) = (Acts::new(), TextJournal::new());
    Diamond::run(&acts).id("old").journal(journal.clone()).await.unwrap();
    let report = Diamond::run(&acts).id("new").journal(journal.clone()).fork("old", Diamond::Left).await.unwrap();
    assert_eq!([acts.called("fetch"), acts.called("right"), acts.called("apart")], [1, 1, 1]);
    assert_eq!([acts.called("left"), acts.called("join")], [2, 2]);
    assert_eq!(RunState::fold(&journal.events("new")).unwrap().as_ref(), Some(report.state()));
}

#[test]
fn the_typed_machine_begins_as_a_copy_too_and_runs_again() {
    use super::line::{Announce, Build, Check, Deploy, Fetch, Scan};
    let journal = TextJournal::new();
    let drive = |id: &str, change: fn(step_machine::MachineBuilder<Line>) -> step_machine::MachineBuilder<Line>| {
        let mut ran = Vec::new();
        let mut body = |step: &'static str| -> Result<(), Trouble> {
            ran.push(step);
            Ok(())
        };
        let run = change(Line::machine().id(id).journal(journal.clone())).begin().unwrap();
        let (run, output) = run.step(Fetch, |_| body("fetch").map(|()| 7)).unwrap();
        assert_eq!(output, 7);
        let run = run.step(Build, |_| body("build")).unwrap().step(Scan, |_| body("scan"));
        let run = run.step(Announce, |_| body("announce")).unwrap().step(Deploy, |_| body("deploy")).unwrap();
        run.step(Check, |_| body("check")).unwrap().finish().unwrap();
        ran
    };
    drive("old", |builder| builder);
    assert_eq!(drive("old", |builder| builder.retry_from(Line::Deploy)), ["deploy", "check"]);
    assert_eq!(drive("new", |builder| builder.fork("old", Line::Check)), ["check"]);
    assert_eq!(lines(&journal.events("new"))[..2], ["run_start", "step_end fetch completed, forked"]);
}

#[tokio::test(start_paused = true)]
async fn one_run_at_a_time_has_what_it_needs_for_itself() {
    let (acts, journal) = (Acts::new().on("fetch", [After(5, &Done)]), MemoryJournal::new());
    let run = |id: &str| Line::run(&acts).id(id).journal(journal.clone()).exclusive("web");
    let second = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        journal_error(run("b").await.unwrap_err())
    };
    let (first, error) = tokio::join!(run("a").into_future(), second);
    first.unwrap();
    let JournalError::Exclusive { name, holder, owner, .. } = &error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), holder.to_string().as_str(), owner.pid), ("web", "a", std::process::id()));
    assert!(error.to_string().starts_with("run b needs `web` for itself, which run a holds, driven by process "));
    run("b").await.unwrap();
}
