//! Runs that are kept: replay, resume, and crashes.

use std::cell::RefCell;
use std::sync::Arc;

use step_machine::event::{Event, RunStatus, StepStatus};
use step_machine::journal::{RunQuery, RunSummary};
use step_machine::{
    Entry, Failure, Journal, JournalError, Machine, MemoryJournal, Report, RunState, StepContext, Workflow,
};

use crate::support::{Recorded, TextJournal, Trouble, lines, ok, refuse, seed, unreachable_body};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    #[step(output = String)]
    Build,
    Sign,
    #[step(critical = false, output = u8)]
    Scan,
    #[step(skippable)]
    Announce,
    Publish,
}
use release::*;

/// One journal of each kind: events as they are, and events as text.
fn journals() -> [Arc<dyn Journal>; 2] {
    [Arc::new(MemoryJournal::new()), Arc::new(TextJournal::new())]
}

fn begin(journal: &Arc<dyn Journal>) -> Machine<Release, release::at::Build> {
    Release::machine().id("v1").journal(journal.clone()).begin().unwrap()
}

fn kept(journal: &Arc<dyn Journal>) -> Vec<String> {
    lines(&journal.load(&"v1".into()).wait().unwrap())
}

fn build(_: &mut StepContext) -> Result<String, Trouble> {
    Ok("v1.tar".to_owned())
}

#[test]
fn what_is_settled_is_not_run_again_and_its_outputs_are_handed_out() {
    for journal in journals() {
        let (run, _) = begin(&journal).step(Build, build).unwrap();
        let (run, _) = run.step(Sign, ok).unwrap().step(Scan, |_| Err(Trouble::Lost));
        drop(run.skip(Announce, "quiet"));

        let (run, archive) = begin(&journal).step(Build, unreachable_body).unwrap();
        let (run, found) = run.step(Sign, unreachable_body).unwrap().step(Scan, unreachable_body);
        let run = run.skip(Announce, "another reason").step(Publish, ok).unwrap();
        let report = run.finish().unwrap();
        assert_eq!((archive.as_str(), found), ("v1.tar", None));
        assert_eq!(report.state().step("announce").unwrap().skipped_because(), Some("quiet"));
        assert_eq!(report.warnings().collect::<Vec<_>>(), [Release::Scan]);
        assert_eq!(
            kept(&journal)[7..],
            [
                "step_end announce skipped: quiet",
                "run_end cancelled, warnings: 1",
                "run_resume",
                "step_start publish",
                "step_end publish completed",
                "run_end completed, warnings: 1",
            ]
        );
    }
}

#[test]
fn a_step_that_was_skipped_stays_skipped_when_the_code_wants_to_run_it() {
    for journal in journals() {
        let (run, _) = begin(&journal).step(Build, build).unwrap();
        let (run, _) = run.step(Sign, ok).unwrap().step(Scan, |_| Ok::<_, Trouble>(3));
        drop(run.skip(Announce, "quiet"));

        let (run, _) = begin(&journal).step(Build, unreachable_body).unwrap();
        let (run, found) = run.step(Sign, unreachable_body).unwrap().step(Scan, unreachable_body);
        assert_eq!(found, Some(3));
        let run = run.step(Announce, unreachable_body).unwrap();
        assert_eq!(run.state().step("announce").unwrap().status(), StepStatus::Skipped);
    }
}

#[test]
fn a_failed_run_goes_on_at_the_step_that_failed() {
    for journal in journals() {
        let (run, _) = begin(&journal).step(Build, build).unwrap();
        drop(run.step(Sign, refuse).unwrap_err());

        let (run, _) = begin(&journal).step(Build, unreachable_body).unwrap();
        let run = run.step(Sign, |cx| {
            assert_eq!((cx.attempt(), cx.interrupted()), (2, false));
            Ok::<(), Trouble>(())
        });
        let run = run.unwrap();
        assert_eq!(run.state().step("sign").unwrap().error(), None);
        assert_eq!(
            kept(&journal)[4..],
            [
                "step_end sign failed: network",
                "run_end failed",
                "run_resume",
                "step_start sign #2",
                "step_end sign completed #2",
            ]
        );
        drop(run);
    }
}

#[test]
fn a_step_that_was_interrupted_knows_it_until_it_has_completed() {
    for journal in journals() {
        let (run, _) = begin(&journal).step(Build, build).unwrap();
        let Entry::Run(guard) = run.enter(Sign) else { panic!("the step has not settled") };
        // The process is gone: nothing is recorded any more.
        std::mem::forget(guard);

        let run = Release::machine().id("v1").journal(journal.clone()).take_over().begin().unwrap();
        let (run, _) = run.step(Build, unreachable_body).unwrap();
        let failed = run.step(Sign, |cx| {
            assert_eq!((cx.attempt(), cx.interrupted()), (2, true));
            Err(Trouble::Network)
        });
        drop(failed.unwrap_err());

        let (run, _) = begin(&journal).step(Build, unreachable_body).unwrap();
        let run = run.step(Sign, |cx| {
            // That the attempt before this one failed says nothing of the one that was cut off.
            assert_eq!((cx.attempt(), cx.interrupted()), (3, true));
            Ok::<(), Trouble>(())
        });
        let run = run.unwrap();
        assert!(!run.state().step("sign").unwrap().is_interrupted());
        drop(run);
        assert_eq!(
            kept(&journal)[3..],
            [
                "step_start sign",
                "run_resume",
                "step_start sign #2 interrupted",
                "step_end sign failed #2: network",
                "run_end failed",
                "run_resume",
                "step_start sign #3 interrupted",
                "step_end sign completed #3",
                "run_end cancelled",
            ]
        );
    }
}

#[test]
fn a_completed_run_replays_without_a_new_event() {
    for journal in journals() {
        let (run, _) = begin(&journal).step(Build, build).unwrap();
        let (run, _) = run.step(Sign, ok).unwrap().step(Scan, |_| Ok::<_, Trouble>(3));
        let first = run.step(Announce, ok).unwrap().step(Publish, ok).unwrap().finish().unwrap();
        let before = kept(&journal);

        let seen = Recorded::new();
        let run = Release::machine().id("v1").journal(journal.clone()).observe(seen.clone()).begin().unwrap();
        let (run, archive) = run.step(Build, unreachable_body).unwrap();
        let (run, found) = run.step(Sign, unreachable_body).unwrap().step(Scan, unreachable_body);
        let run = run.step(Announce, unreachable_body).unwrap().step(Publish, unreachable_body).unwrap();
        let again = run.finish().unwrap();
        assert_eq!((archive.as_str(), found), ("v1.tar", Some(3)));
        assert_eq!(again.state(), first.state());
        assert_eq!(kept(&journal), before);
        assert_eq!(seen.len(), 0);

        // Neither does one that is replayed half-way.
        drop(begin(&journal).step(Build, unreachable_body).unwrap());
        assert_eq!(kept(&journal), before);
    }
}

#[derive(Workflow, Debug)]
#[workflow(name = "release-2")]
enum Another {
    Build,
}

#[test]
fn an_id_belongs_to_one_workflow() {
    for journal in journals() {
        drop(begin(&journal));
        let error = Another::machine().id("v1").journal(journal.clone()).begin().unwrap_err();
        let JournalError::OtherWorkflow { found, expected, .. } = &error else { panic!("{error:?}") };
        assert_eq!((found.as_str(), expected.as_str()), ("release", "release-2"));
        let text = "run v1 is a run of workflow `release`, not of `release-2`; choose another id";
        assert_eq!(error.to_string(), text);
        assert_eq!(kept(&journal).len(), 2, "nothing is recorded of the attempt");
    }
}

#[test]
fn a_run_without_an_id_is_a_new_one() {
    let journal = TextJournal::new();
    for _ in 0..2 {
        drop(Release::machine().journal(journal.clone()).begin().unwrap());
    }
    let runs = journal.list(&RunQuery::all()).wait().unwrap();
    assert_eq!(runs.len(), 2);
    for RunSummary { run, .. } in runs {
        assert_eq!(journal.lines(&run.to_string()), ["run_start", "run_end cancelled"]);
        assert_eq!(run.to_string().as_bytes()[14], b'7', "{run} is a UUID of version 7");
    }
}

/// The same code every time: what it calls, and with which attempt and whether interrupted, ends up in `called`.
fn drive(
    journal: TextJournal,
    called: &RefCell<Vec<(Release, u32, bool)>>,
) -> Result<(Report<Release>, String), Failure<Release, Trouble>> {
    let call = |step: Release, cx: &mut StepContext| {
        called.borrow_mut().push((step, cx.attempt(), cx.interrupted()));
        cx.progress(0.5);
        cx.metadata("attempt", cx.attempt());
    };
    let run = Release::machine().id("v1").journal(journal).begin()?;
    let (run, archive) = run.step(Build, |cx| {
        call(Release::Build, cx);
        build(cx)
    })?;
    let run = run.step(Sign, |cx| Ok::<(), Trouble>(call(Release::Sign, cx)))?;
    let (run, _) = run.step(Scan, |cx| {
        call(Release::Scan, cx);
        Err(Trouble::Network)
    });
    let run = run.skip(Announce, "quiet");
    let run = run.step(Publish, |cx| Ok::<(), Trouble>(call(Release::Publish, cx)))?;
    Ok((run.finish()?, archive))
}

#[test]
fn after_a_crash_at_any_event_the_same_code_completes_the_run() {
    let whole = TextJournal::new();
    drive(whole.clone(), &RefCell::default()).unwrap();
    let events = whole.events("v1");
    for crash in 1..=events.len() {
        let journal = TextJournal::new();
        seed(&journal, &events[..crash]);
        let before = RunState::fold(&events[..crash]).unwrap().unwrap();

        let called = RefCell::default();
        let (report, archive) = drive(journal.clone(), &called).unwrap();
        assert_eq!(archive, "v1.tar");
        let expected: Vec<_> = Release::steps()
            .filter(|step| *step != Release::Announce && !before.step(step.id()).unwrap().status().is_settled())
            .map(|step| (step, before.step(step.id()).unwrap().attempts() + 1, step_is_running(&before, step)))
            .collect();
        assert_eq!(called.into_inner(), expected, "after {crash} events");
        assert_eq!(report.state().status(), RunStatus::Completed);
        assert_eq!(journal.fold("v1").unwrap().as_ref(), Some(report.state()));
        never_falls(&journal.events("v1"));
    }
}

fn step_is_running(state: &RunState, step: Release) -> bool {
    state.step(step.id()).unwrap().status() == StepStatus::Running
}

/// Percentages and times go one way, also across processes.
fn never_falls(events: &[Event]) {
    for pair in events.windows(2) {
        let percentage = |event: &Event| event.progress.as_ref().unwrap().percentage;
        assert!(percentage(&pair[0]) <= percentage(&pair[1]), "{pair:?}");
        assert!(pair[0].elapsed <= pair[1].elapsed, "{pair:?}");
    }
}
