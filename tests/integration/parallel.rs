//! A parallel workflow in the typed machine: any order that the needs allow, on one thread.

use step_machine::event::{RunStatus, StepStatus, UndoStatus};
use step_machine::{Entry, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, ok, refuse, unreachable_body};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Build {
    #[step(output = u32, undo)]
    Fetch,
    #[step(undo)]
    Lint,
    // What it needs is declared after it.
    #[step(needs(Compile), undo)]
    Package,
    #[step(needs(Fetch), undo, weight = 2)]
    Compile,
}
use build::*;

fn fetch(_: &mut StepContext) -> Result<u32, Trouble> {
    Ok(7)
}

/// The steps that began, in order.
fn begun(seen: &Recorded) -> Vec<String> {
    let starts = seen.lines().into_iter().filter_map(|line| line.strip_prefix("step_start ").map(str::to_owned));
    starts.collect()
}

#[test]
fn the_plan_says_what_a_step_needs_by_id() {
    assert!(Build::plan().parallel);
    let needs: Vec<_> = Build::steps().map(|step| step.info().needs.join(" ")).collect();
    assert_eq!(needs, ["", "", "compile", "fetch"]);
}

#[test]
fn steps_run_in_declared_order_where_the_needs_allow_it() {
    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).begin().unwrap();
    let (run, fetched) = run.step(Fetch, fetch).unwrap();
    let run = run.step(Lint, ok).unwrap().step(Compile, ok).unwrap().step(Package, ok).unwrap();
    let report = run.finish().unwrap();
    assert_eq!(fetched, 7);
    assert_eq!(begun(&seen), ["fetch", "lint", "compile", "package"]);
    assert_eq!(report.state().status(), RunStatus::Completed);
}

#[test]
fn a_step_that_needs_nothing_may_run_last_or_first() {
    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).begin().unwrap();
    let (run, _) = run.step(Fetch, fetch).unwrap();
    let run = run.step(Compile, ok).unwrap().step(Package, ok).unwrap().step(Lint, ok).unwrap();
    run.finish().unwrap();
    assert_eq!(begun(&seen), ["fetch", "compile", "package", "lint"]);
    let numbers: Vec<_> = seen.events().iter().map(|event| event.progress.as_ref().unwrap().step_number).collect();
    assert_eq!(numbers, [0, 1, 1, 4, 4, 3, 3, 2, 2, 2], "a number is the step's place in the plan");
    let percentages: Vec<_> = seen.events().iter().map(|event| event.progress.as_ref().unwrap().percentage).collect();
    assert_eq!(percentages, [0.0, 0.0, 20.0, 20.0, 60.0, 60.0, 80.0, 80.0, 100.0, 100.0]);

    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).begin().unwrap().step(Lint, ok).unwrap();
    let (run, _) = run.step(Fetch, fetch).unwrap();
    run.step(Compile, ok).unwrap().step(Package, ok).unwrap().finish().unwrap();
    assert_eq!(begun(&seen), ["lint", "fetch", "compile", "package"]);
}

#[test]
fn a_failure_names_its_step_whatever_the_order() {
    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).begin().unwrap();
    let (run, _) = run.step(Fetch, fetch).unwrap();
    let failure = run.step(Compile, refuse).unwrap_err();
    assert_eq!(failure.step(), Some(Build::Compile));
    assert_eq!(failure.context().record().step_number, 4);
    assert_eq!(failure.context().never_ran().collect::<Vec<_>>(), [Build::Lint, Build::Package]);
    assert_eq!(seen.lines()[3..], ["step_start compile", "step_end compile failed: network", "run_end failed"]);
}

#[test]
fn undo_goes_back_in_the_order_in_which_steps_began() {
    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).begin().unwrap().step(Lint, ok).unwrap();
    let (run, _) = run.step(Fetch, fetch).unwrap();
    let failure = run.step(Compile, ok).unwrap().step(Package, refuse).unwrap_err();
    let earlier = seen.len();
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, _| {
        undone.push(step);
        Ok::<(), Trouble>(())
    });
    assert_eq!(undone, [Build::Package, Build::Compile, Build::Fetch, Build::Lint]);
    assert_eq!(
        seen.lines_after(earlier),
        [
            "run_resume rollback",
            "undo_start package",
            "undo_end package undone",
            "undo_start compile",
            "undo_end compile undone",
            "undo_start fetch",
            "undo_end fetch undone",
            "undo_start lint",
            "undo_end lint undone",
            "run_end rolled_back",
        ]
    );
    let record = failure.context().record().rollback.as_ref().unwrap();
    assert!(record.undos.iter().all(|undo| undo.status == UndoStatus::Undone));
}

#[test]
fn a_run_goes_on_in_another_order_than_it_began_in() {
    let journal = TextJournal::new();
    let builder = || Build::machine().id("r").journal(journal.clone());
    let run = builder().begin().unwrap();
    let (run, _) = run.step(Fetch, fetch).unwrap();
    drop(run.step(Lint, ok).unwrap());

    let run = builder().begin().unwrap();
    let run = run.step(Lint, unreachable_body).unwrap();
    let (run, fetched) = run.step(Fetch, unreachable_body).unwrap();
    assert_eq!(fetched, 7);
    let report = run.step(Compile, ok).unwrap().step(Package, ok).unwrap().finish().unwrap();
    assert!(report.state().steps().iter().all(|step| step.status() == StepStatus::Completed && step.attempts() == 1));
    assert_eq!(
        journal.lines("r")[5..],
        [
            "run_end cancelled",
            "run_resume",
            "step_start compile",
            "step_end compile completed",
            "step_start package",
            "step_end package completed",
            "run_end completed",
        ]
    );
}

#[test]
fn a_step_that_was_interrupted_is_undone_though_it_was_not_run_again() {
    let journal = TextJournal::new();
    let builder = || Build::machine().id("r").journal(journal.clone());
    let Entry::Run(guard) = builder().begin().unwrap().enter(Lint) else { panic!("the step has not settled") };
    // The process is gone: nothing is recorded any more.
    std::mem::forget(guard);

    let run = builder().take_over().begin().unwrap();
    let failure = run.step(Fetch, |_| Err(Trouble::Network)).unwrap_err();
    let mut undone = Vec::new();
    let failure = failure.rollback(|step, cx| {
        undone.push((step, cx.interrupted()));
        Ok::<(), Trouble>(())
    });
    assert_eq!(undone, [(Build::Fetch, false), (Build::Lint, true)]);
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
}
