//! A journal that fails, at every write it is asked for, and a run that two want to drive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Append, Reply, Waiting};
use step_machine::{Cause, Failure, Journal, JournalError, MemoryJournal, RunState, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, as_in, block_on, lines, ok, refuse};

/// Refuses one write and would take the next again: whoever goes on after a fault leaves a trace.
#[derive(Clone, Default)]
struct Faulty {
    kept: TextJournal,
    writes: Arc<AtomicUsize>,
    refused: usize,
    /// The news among what was refused.
    news: Arc<Mutex<Vec<Event>>>,
}

impl Faulty {
    fn refusing(write: usize) -> Self {
        Self { refused: write, ..Self::default() }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    fn has_failed(&self) -> bool {
        self.writes() >= self.refused && self.refused > 0
    }
}

impl Journal for Faulty {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        if self.writes.fetch_add(1, Ordering::Relaxed) + 1 == self.refused {
            if append.waiting == Waiting::Nobody {
                self.news.lock().unwrap().extend_from_slice(append.events);
            }
            return Reply::ready(Err(JournalError::Write {
                run: append.lease.run.clone(),
                source: "the disk is full".into(),
            }));
        }
        self.kept.append(append)
    }

    as_in!(kept);
}

/// Every rule, and an end that has no `Result` to tell of a fault before `finish`.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Everything {
    #[step(undo, output = u8)]
    Output,
    #[step(retry(attempts = 3, delay = "0s"), undo)]
    Retried,
    #[step(critical = false)]
    Extra,
    #[step(skippable, output = u8)]
    Maybe,
    #[step(undo)]
    Awaited,
    #[step(critical = false, output = String, retry(attempts = 2, delay = "0s"))]
    ExtraOutput,
    #[step(skippable)]
    Last,
}
use everything::*;

type Failed = Failure<Everything, Trouble>;

/// Drives a whole run; `fails` is a step that fails for good, `begins` is called first in every body.
async fn drive(
    journal: Faulty,
    seen: Recorded,
    fails: Option<Everything>,
    begins: impl Fn(&StepContext),
) -> Result<RunState, Failed> {
    let body = |step: Everything, cx: &mut StepContext| {
        begins(cx);
        cx.message("at work");
        cx.stdout("a line");
        if fails == Some(step) { Err(Trouble::Network) } else { Ok(()) }
    };
    let run = Everything::machine().id("r").journal(journal).observe(seen).begin()?;
    let (run, one) = run.step(Output, |cx| body(Everything::Output, cx).map(|()| 1))?;
    let run = run.step_retry(Retried, |cx| {
        let result = body(Everything::Retried, cx);
        if cx.attempt() == 1 { Err(Trouble::Network) } else { result }
    })?;
    let run = run.step(Extra, |cx| body(Everything::Extra, cx).and(Err(Trouble::Lost)));
    let run = run.skip(Maybe, "not today");
    let run = run.step_async(Awaited, async |cx| body(Everything::Awaited, cx)).await?;
    let (run, _) = run.step_retry(ExtraOutput, |cx| body(Everything::ExtraOutput, cx).and(Err(Trouble::Lost)));
    let report = run.skip(Last, "enough").finish()?;
    assert_eq!(one, 1);
    Ok(report.state().clone())
}

/// What holds of every run whose journal failed: memory, observers and journal tell one story, and nobody wrote again.
fn is_consistent(journal: &Faulty, seen: &Recorded, failure: Option<&Failed>, at: usize) {
    assert_eq!(journal.writes(), at, "a write after the fault");
    assert_eq!(seen.events(), journal.kept.events("r"), "observers saw what is not durable, or missed what is");
    if let Some(state) = failure.and_then(Failure::state) {
        let known = [journal.kept.events("r"), journal.news.lock().unwrap().clone()].concat();
        let known = RunState::fold(&known).unwrap();
        assert_eq!(known.as_ref(), Some(state), "memory is ahead of the journal by more than news");
    }
}

/// Whether the failure tells of the full disk: as its cause, or beside the step's own error that could not be recorded.
fn is_full(failure: &Failed) -> bool {
    let beside = failure.journal_error();
    let error = match failure.cause() {
        Cause::Journal(error) => Some(error),
        _ => beside.inspect(|_| assert!(failure.context().record().journal.is_some())),
    };
    matches!(error, Some(JournalError::Write { source, .. }) if source.to_string() == "the disk is full")
}

#[test]
fn a_fault_at_any_write_stops_the_run_and_is_told() {
    let healthy = Faulty::default();
    let state = block_on(drive(healthy.clone(), Recorded::new(), None, |_| {})).unwrap();
    assert_eq!(state.status(), RunStatus::Completed);
    let total = healthy.writes();
    assert_eq!(total, lines(&healthy.kept.events("r")).len());

    for at in 1..=total {
        let (journal, seen) = (Faulty::refusing(at), Recorded::new());
        let failure = block_on(drive(journal.clone(), seen.clone(), None, |cx| {
            assert!(!journal.has_failed(), "`{}` began after write {at} had failed", cx.step());
        }))
        .unwrap_err();
        assert!(is_full(&failure), "write {at}: {:?}", failure.cause());
        is_consistent(&journal, &seen, Some(&failure), at);
        drop(failure);
        is_consistent(&journal, &seen, None, at);

        // The journal works again: the same code goes on from what is durable.
        let state = block_on(drive(journal.clone(), Recorded::new(), None, |_| {})).unwrap();
        assert_eq!(state.status(), RunStatus::Completed);
        assert_eq!(journal.kept.fold("r").unwrap(), Some(state));
    }
}

#[test]
fn a_fault_at_any_write_of_a_failure_and_its_rollback_stops_both() {
    let undo_all = |journal: Faulty, failure: Failed| {
        let mut undone = Vec::new();
        let failure = failure.rollback(|step, cx| {
            assert!(!journal.has_failed(), "the undo of {step:?} began after a fault");
            cx.message("going back");
            undone.push(step);
            if step == Everything::Retried && cx.attempt() == 1 { Err(Trouble::Network) } else { Ok(()) }
        });
        (failure, undone)
    };
    let healthy = Faulty::default();
    let fails = Some(Everything::Awaited);
    let failure = block_on(drive(healthy.clone(), Recorded::new(), fails, |_| {})).unwrap_err();
    let until_failure = healthy.writes();
    let (failure, undone) = undo_all(healthy.clone(), failure);
    use Everything::{Awaited, Output, Retried};
    assert_eq!(undone, [Awaited, Retried, Retried, Output]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);

    for at in 1..=healthy.writes() {
        let (journal, seen) = (Faulty::refusing(at), Recorded::new());
        let failure = block_on(drive(journal.clone(), seen.clone(), fails, |_| {})).unwrap_err();
        let (failure, undone) = undo_all(journal.clone(), failure);
        is_consistent(&journal, &seen, Some(&failure), at);
        if at <= until_failure {
            assert!(is_full(&failure), "write {at}: {:?}", failure.cause());
            assert_eq!(undone, [], "nothing is undone of a run that cannot be recorded");
        }
        drop(failure);
        is_consistent(&journal, &seen, None, at);
    }
}

#[test]
fn a_fault_in_a_step_without_a_result_is_told_by_the_next_call_that_has_one() {
    // The fault is at the start of `extra`: neither its body nor any later one runs.
    let healthy = Faulty::default();
    block_on(drive(healthy.clone(), Recorded::new(), None, |_| {})).unwrap();
    let starts = healthy.kept.lines("r");
    let at = starts.iter().position(|line| line == "step_start extra").unwrap() + 1;
    let journal = Faulty::refusing(at);
    let failure = block_on(drive(journal.clone(), Recorded::new(), None, |_| {})).unwrap_err();
    assert!(is_full(&failure));
    assert_eq!(failure.step(), None, "no step failed");
    assert_eq!(failure.context().record().attempt, 0);
    let story = format!("{failure:#}");
    assert!(!story.contains("effect"), "there is no step of which to tell it: {story}");
    assert!(story.contains("\nsteps\n"), "{story}");
    assert_eq!(failure.state().unwrap().step("maybe").unwrap().status().as_str(), "pending");
}

#[test]
fn a_fault_in_the_last_steps_is_told_by_finish() {
    let healthy = Faulty::default();
    block_on(drive(healthy.clone(), Recorded::new(), None, |_| {})).unwrap();
    let end = healthy.writes();
    for at in [end - 1, end] {
        let failure = block_on(drive(Faulty::refusing(at), Recorded::new(), None, |_| {})).unwrap_err();
        assert!(is_full(&failure));
        assert_eq!(failure.step(), None, "no step failed");
        assert_eq!(failure.context().completed().next(), Some(Everything::steps().next().unwrap()));
        assert_eq!(failure.context().record().steps.len(), failure.state().unwrap().steps().len());
        assert_eq!(failure.context().to_string(), "`everything` failed (journal) outside of its steps");
    }
}

#[derive(Workflow, Debug, PartialEq)]
enum Two {
    One,
    Other,
}

#[test]
fn a_run_that_somebody_else_drives_now_is_left_to_them() {
    let journal = MemoryJournal::new();
    let builder = || Two::machine().id("r").journal(journal.clone());
    let stale = builder().begin().unwrap();
    let error = builder().begin().unwrap_err();
    let JournalError::Owned { owner, .. } = &error else { panic!("{error:?}") };
    assert_eq!(owner.pid, std::process::id());
    let text =
        format!("run r is driven by {owner}; wait for it, stop it, or take the run over by force with `.take_over()`");
    assert_eq!(error.to_string(), text);
    let failure = Failure::<Two, Trouble>::from(error);
    let told = format!("`two` failed (journal) outside of its steps\n\nerror (journal)\n  0: {text}");
    assert_eq!(format!("{failure:#}"), told, "nothing was done here, and what others did is not known");
    let owner = builder().take_over().begin().unwrap();

    let failure =
        stale.step(two::One, |_| -> Result<(), Trouble> { panic!("the stale owner ran its step") }).unwrap_err();
    let Cause::Journal(error) = failure.cause() else { panic!("{:?}", failure.cause()) };
    assert!(matches!(error, JournalError::TakenOver { owner: Some(_), .. }), "{error:?}");
    assert!(error.to_string().starts_with("run r was taken over by process "), "{error}");
    assert_eq!(failure.step(), None);
    drop(failure);

    owner.step(two::One, ok).unwrap().step(two::Other, ok).unwrap().finish().unwrap();
    assert_eq!(
        lines(&journal.load(&"r".into()).wait().unwrap()),
        [
            "run_start",
            "run_resume",
            "step_start one",
            "step_end one completed",
            "step_start other",
            "step_end other completed",
            "run_end completed",
        ]
    );
}

#[test]
fn a_journal_error_that_is_dropped_unread_leaves_nothing_behind() {
    let journal = Faulty::refusing(2);
    let run = Two::machine().id("r").journal(journal.clone()).begin().unwrap();
    drop(run.step(two::One, refuse));
    assert_eq!((journal.writes(), journal.kept.lines("r")), (2, vec!["run_start".to_owned()]));
}

#[tokio::test]
async fn who_watches_a_run_that_its_journal_broke_off_is_let_go_with_its_failure() {
    let (observer, events) = step_machine::observe::channel();
    let run = Everything::machine().id("r").journal(Faulty::refusing(4)).observe(observer).begin().unwrap();
    let failure = run
        .step(Output, |_| Ok::<_, Trouble>(1))
        .and_then(|(run, _)| run.step_retry(Retried, |_| Ok::<_, Trouble>(())))
        .map(drop)
        .unwrap_err();
    assert!(is_full(&failure));
    // It would wait for ever where the failure, which is held, held the observer too.
    assert_eq!(events.iter().count(), 3, "run_start, step_start, step_end");
    drop(failure);
}
