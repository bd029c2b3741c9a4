//! Processes that die at every write of a run: what goes on, and what a workflow does that cannot go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use step_machine::event::RunStatus;
use step_machine::testing::{Crash, CrashError, Crashing, Death, Fault, Faults, crash_everywhere};
use step_machine::{OnFailure, StepContext, Workflow};
use tokio::time::sleep;

use crate::support::Trouble;

#[derive(Workflow, Debug)]
enum Inner {
    #[step(undo)]
    First,
    Second,
}

#[derive(Workflow, Debug)]
#[workflow(parallel)]
enum Outer {
    #[step(undo, output = u32)]
    Fetch,
    #[step(needs(Fetch), undo, retry(attempts = 3, delay = "1s"))]
    Left,
    #[step(needs(Fetch), workflow = Inner)]
    Right,
    #[step(critical = false, skippable)]
    Apart,
    #[step(needs(Left, Right))]
    Join,
}

/// Counts what it did; each piece of work waits somewhere.
#[derive(Default)]
struct World {
    done: AtomicUsize,
    undone: AtomicUsize,
    fails: bool,
}

impl World {
    async fn work(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.message("on it");
        sleep(Duration::from_millis(10)).await;
        self.done.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    async fn take_back(&self) -> Result<(), Trouble> {
        sleep(Duration::from_millis(10)).await;
        self.undone.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl InnerHandler for World {
    type Error = Trouble;

    async fn first(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.work(cx).await
    }

    async fn undo_first(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.take_back().await
    }

    async fn second(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.work(cx).await
    }
}

impl OuterHandler for World {
    type Error = Trouble;

    async fn fetch(&self, cx: &mut StepContext) -> Result<u32, Trouble> {
        self.work(cx).await.map(|()| 7)
    }

    async fn undo_fetch(&self, _: &mut StepContext, _: Option<&u32>) -> Result<(), Trouble> {
        self.take_back().await
    }

    async fn left(&self, cx: &mut StepContext, fetched: &u32) -> Result<(), Trouble> {
        assert_eq!(*fetched, 7);
        self.work(cx).await
    }

    async fn undo_left(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.take_back().await
    }

    fn right(&self, _: &u32) -> impl step_machine::runner::HandlerFor<Inner> {
        self
    }

    async fn apart(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.work(cx).await
    }

    async fn join(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.work(cx).await?;
        if self.fails { Err(Trouble::Network) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_graph_with_a_workflow_inside_goes_on_wherever_its_process_dies() {
    let mut cases = 0;
    let crashed = crash_everywhere(async |crash: Crash| {
        cases += 1;
        let world = World::default();
        let report = crash.run(|| Outer::run(&world)).await?.unwrap();
        assert_eq!(report.state().output(outer::Fetch).unwrap(), Some(7));
        let done = world.done.load(Ordering::Relaxed);
        assert!((6..=12).contains(&done), "{done} pieces of work, {:?}", crash.death());
        Ok(())
    });
    let writes = crashed.await.unwrap().writes();
    assert_eq!(cases, 1 + 4 * writes);
    assert!(writes > 12, "{writes}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_goes_on_backwards_wherever_its_process_dies() {
    let crashed = crash_everywhere(async |crash: Crash| {
        let world = World { fails: true, ..World::default() };
        let failure = crash.run(|| Outer::run(&world).on_failure(OnFailure::Rollback)).await?.unwrap_err();
        // One that was over when its process died does not go on.
        assert!(failure.state().is_none_or(|state| state.status() == RunStatus::RolledBack));
        let undone = world.undone.load(Ordering::Relaxed);
        assert!((3..=5).contains(&undone), "{undone} undos, {:?}", crash.death());
        Ok(())
    });
    assert!(crashed.await.unwrap().writes() > 18);
}

#[derive(Workflow, Debug)]
enum Plain {
    One,
    Two,
}

struct Once(AtomicUsize);

impl PlainHandler for Once {
    type Error = Trouble;

    async fn one(&self, _: &mut StepContext) -> Result<(), Trouble> {
        // Work that cannot be done again.
        if self.0.fetch_add(1, Ordering::Relaxed) > 0 { Err(Trouble::Template) } else { Ok(()) }
    }

    async fn two(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_cannot_be_done_again_is_found() {
    let found = crash_everywhere(async |crash: Crash| {
        let once = Once(AtomicUsize::new(0));
        let _ = crash.run(|| Plain::run(&once)).await?;
        Ok(())
    });
    let error = found.await.unwrap_err();
    let CrashError::Mismatch { death: Some(death), crashing: Crashing::Ended { expected, found } } = &error else {
        panic!("{error}")
    };
    assert_eq!((death.write, death.learns), (1, true), "its intent is recorded, its outcome is not");
    assert_eq!((*expected, *found), (RunStatus::Completed, RunStatus::Failed));
    assert_eq!(
        error.to_string(),
        "where the process dies some time after write 1 to the journal: the run ended as failed, without a crash as \
         completed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_case_that_runs_nothing_panics_or_hangs_is_told() {
    let error = crash_everywhere(async |_: Crash| Ok(())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "without a crash: nothing was run; call `crash.run(..).await?` or `crash.drive(..).await?`"
    );
    let panics = crash_everywhere(async |crash: Crash| {
        let once = Once(AtomicUsize::new(0));
        crash.run(|| Plain::run(&once)).await?.map(drop).map_err(drop).expect("it is done twice");
        Ok(())
    });
    let error = panics.await.unwrap_err();
    assert!(matches!(error, CrashError::Mismatch { death: Some(Death { write: 1, learns: true, .. }), .. }), "{error}");
    let hangs = crash_everywhere(async |crash: Crash| {
        let once = Once(AtomicUsize::new(0));
        let faults = Faults::new().step(Plain::Two, Fault::Hang);
        let _ = crash.run(|| Plain::run(&once).faults(faults.clone())).await?;
        Ok(())
    });
    let error = hangs.await.unwrap_err();
    assert!(matches!(error, CrashError::TooLong { death: None, .. }), "{error}");
}

/// Hands on what it is told to, one after the other.
struct Numbers(AtomicUsize);

#[derive(Workflow, Debug)]
enum Numbered {
    #[step(output = usize)]
    Draw,
    Use,
}

impl NumberedHandler for Numbers {
    type Error = Trouble;

    async fn draw(&self, _: &mut StepContext) -> Result<usize, Trouble> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }

    async fn r#use(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hands_on_something_else_after_a_crash_is_found_unless_it_may() {
    let numbered = async |crash: Crash| {
        let numbers = Numbers(AtomicUsize::new(7));
        crash.run(|| Numbered::run(&numbers)).await?.unwrap();
        Ok(())
    };
    let error = crash_everywhere(numbered).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "where the process dies some time after write 1 to the journal: `draw` handed on 8, without a crash 7; if it \
         may, say so: `crash.may_vary(..)`"
    );
    let varying = crash_everywhere(async |crash: Crash| numbered(crash.may_vary(Numbered::Draw)).await);
    assert_eq!(varying.await.unwrap().writes(), 3);
}

/// Two steps by the typed machine, which note what they do.
fn typed(
    journal: impl step_machine::Journal + 'static,
    id: &str,
    done: &Mutex<Vec<usize>>,
) -> Result<usize, TypedFailure> {
    let note = |number: usize| done.lock().unwrap().push(number);
    let run = Numbered::machine().id(id).journal(journal).begin()?;
    let (run, number) = run.step(numbered::Draw, |_| {
        note(1);
        Ok(7)
    })?;
    run.step(numbered::Use, |_| Ok(note(2)))?.finish()?;
    Ok(number)
}

type TypedFailure = step_machine::Failure<Numbered, Trouble>;

#[tokio::test]
async fn the_typed_machine_goes_on_wherever_its_process_dies() {
    let mut most = 0;
    let crashed = crash_everywhere(async |crash: Crash| {
        let done = Mutex::default();
        let number = crash.drive(async |journal| typed(journal, "r", &done)).await?.unwrap();
        let done = done.into_inner().unwrap();
        assert_eq!((number, done.first(), done.last()), (7, Some(&1), Some(&2)), "{:?}", crash.death());
        assert!(done.is_sorted(), "{done:?}");
        most = most.max(done.len());
        Ok(())
    });
    // run_start, two steps with a start and an end each, run_end.
    assert_eq!(crashed.await.unwrap().writes(), 6);
    assert_eq!(most, 3, "a body whose outcome was lost is called again");
}

#[tokio::test]
async fn a_run_without_the_journal_or_without_an_id_is_told() {
    let done = Mutex::default();
    let elsewhere = async |crash: Crash| {
        let _ = crash.drive(async |_| typed(step_machine::MemoryJournal::new(), "r", &done)).await?;
        Ok(())
    };
    let error = crash_everywhere(elsewhere).await.unwrap_err();
    assert!(matches!(&error, CrashError::Mismatch { death: None, crashing: Crashing::NoRun { .. } }), "{error}");
    assert!(error.to_string().ends_with("no run is in it; `.journal(journal)` and `.id(..)` set both"), "{error}");

    let lives = AtomicUsize::new(0);
    let renamed = async |crash: Crash| {
        let id = || format!("r{}", lives.fetch_add(1, Ordering::Relaxed));
        let _ = crash.drive(async |journal| typed(journal, &id(), &done)).await?;
        Ok(())
    };
    let error = crash_everywhere(renamed).await.unwrap_err();
    assert!(error.to_string().ends_with("run r0 is not there; give it an id that is the same each time"), "{error}");
}

#[tokio::test]
async fn a_settled_step_that_runs_again_is_found() {
    let found = crash_everywhere(async |crash: Crash| {
        let numbers = Numbers(AtomicUsize::new(7));
        let crash = crash.may_vary(Numbered::Draw);
        let lives = AtomicUsize::new(0);
        let make = || {
            let run = Numbered::run(&numbers);
            if lives.fetch_add(1, Ordering::Relaxed) == 0 { run } else { run.retry_from(Numbered::Draw) }
        };
        crash.run(make).await?.unwrap();
        Ok(())
    });
    let error = found.await.unwrap_err();
    let CrashError::Mismatch { death: Some(Death { write: 2, .. }), crashing } = &error else { panic!("{error}") };
    assert!(matches!(crashing, Crashing::RanAgain { step } if step == "draw"), "{error}");
}
