//! Workflows that a body runs inside of its step.

use std::sync::Arc;
use std::time::Duration;

use step_machine::event::RunStatus;
use step_machine::runner::HandlerFor;
use step_machine::{Cause, Failure, JournalError, MemoryJournal, StepContext, StepError, Workflow};
use tokio::time::sleep;

use super::faults::Faulty;
use super::nested::{Docker, told};
use super::{Act::*, Acts, Diamond, since};
use crate::support::{Recorded, TextJournal, Trouble};

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

#[tokio::test(start_paused = true)]
async fn a_stop_of_the_run_inside_is_one_of_the_step_and_no_failure() {
    let (acts, seen) = (Arc::new(Acts::new().on("pull", [After(3, &Done)])), Recorded::new());
    let host = Twice(acts.clone());
    let run = Both::run(&host).id("b").observe(seen.clone()).stop_on(sleep(Duration::from_secs(1)));
    let failure = run.await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Cancelled), "{failure:?}");
    assert_eq!(since(&seen, "step_end containers"), ["step_end containers cancelled: cancelled", "run_end cancelled"]);
    assert_eq!(acts.calls(), ["pull"], "nothing is undone");
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_that_the_body_stops_by_itself_is_its_own_failure() {
    struct Impatient(Acts);

    impl BothHandler for Impatient {
        type Error = Inside;

        async fn containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
            cx.nested(Docker::run(&self.0).stop_on(async {})).await?;
            Ok(())
        }

        async fn undo_containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
            cx.nested(Docker::run(&self.0)).await?;
            Ok(())
        }

        async fn check(&self, _: &mut StepContext) -> Result<(), Inside> {
            Ok(())
        }
    }

    let (host, seen) = (Impatient(Acts::new()), Recorded::new());
    Both::run(&host).observe(seen.clone()).await.unwrap_err();
    assert_eq!(since(&seen, "step_end containers")[0], "step_end containers failed #2: cancelled");
    assert_eq!(seen.lines().last().unwrap(), "run_end rolled_back");
}

fn is_full(error: Option<&JournalError>) -> bool {
    matches!(error, Some(JournalError::Write { .. }))
}

#[tokio::test(start_paused = true)]
async fn where_the_journal_fails_for_a_run_inside_nothing_goes_on() {
    for refused in 1.. {
        let (acts, kept) = (Arc::new(Acts::new()), TextJournal::new());
        let journal = Faulty::refusing(refused, &acts).keeping(&kept).of("b/containers/a");
        let failure = Both::run(&Twice(acts.clone())).id("b").journal(journal.clone()).await.unwrap_err();
        if failure.state().unwrap().status() == RunStatus::RolledBack {
            assert!(matches!(failure.cause(), Cause::Error(Inside::NotNow)), "{refused}: {failure:?}");
            return assert!(refused > 6, "{refused}");
        }
        assert!(is_full(failure.journal_error()), "{refused}: {failure:?}");
        assert_eq!(journal.bodies(), acts.calls().len(), "{refused}: {:?}", acts.calls());
        assert!(!kept.fold("b").unwrap().unwrap().status().has_ended(), "{refused}");
        drop(failure);
        let failure = Both::run(&Twice(acts.clone())).id("b").journal(kept.clone()).await.unwrap_err();
        assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack, "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_cannot_hide_that_the_journal_failed() {
    struct Careless(Arc<Acts>);

    impl BothHandler for Careless {
        type Error = Inside;

        async fn containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
            drop(cx.nested(Docker::run(&*self.0)).await);
            Ok(())
        }

        async fn undo_containers(&self, _: &mut StepContext) -> Result<(), Inside> {
            panic!("nothing is undone")
        }

        async fn check(&self, _: &mut StepContext) -> Result<(), Inside> {
            panic!("no body is called")
        }
    }

    let acts = Arc::new(Acts::new());
    let journal = Faulty::refusing(3, &acts).of("b/containers/docker");
    let failure = Both::run(&Careless(acts)).id("b").journal(journal).await.unwrap_err();
    assert_eq!(failure.step(), Some(Both::Containers));
    let Cause::Journal(error) = failure.cause() else { panic!("{failure:?}") };
    assert!(is_full(Some(error)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_the_run_inside_back() {
    /// Tries another way where the first one fails.
    struct Another(Arc<Acts>);

    impl BothHandler for Another {
        type Error = Inside;

        async fn containers(&self, cx: &mut StepContext) -> Result<(), Inside> {
            if cx.nested(Docker::run(&*self.0).id("a")).await.is_err() {
                let report = cx.nested(Docker::run(&*self.0).id("a").rollback()).await?;
                assert_eq!(report.state().status(), RunStatus::RolledBack);
                cx.nested(Docker::run(&*self.0).id("b")).await?;
            }
            Ok(())
        }

        async fn undo_containers(&self, _: &mut StepContext) -> Result<(), Inside> {
            panic!("nothing is undone")
        }

        async fn check(&self, _: &mut StepContext) -> Result<(), Inside> {
            Ok(())
        }
    }

    for journal in [None, Some(MemoryJournal::new())] {
        let acts = Arc::new(Acts::new().on("start", [Refuse]));
        let host = Another(acts.clone());
        let run = Both::run(&host).id("r");
        let report = journal.into_iter().fold(run, step_machine::Runner::journal).await.unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        assert_eq!(acts.calls(), ["pull", "start", "undo start", "undo pull", "pull", "start"]);
    }
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

#[derive(Workflow, Debug, PartialEq)]
#[workflow(on_failure = "rollback")]
enum Ship {
    #[step(undo)]
    Pack,
    #[step(workflow = Load)]
    Load,
}

#[derive(Workflow)]
enum Load {
    Lift,
}

#[derive(Workflow)]
enum Stranger {
    Wander,
}

struct Crew;

impl ShipHandler for Crew {
    type Error = Trouble;

    async fn pack(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn undo_pack(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    fn load(&self) -> impl HandlerFor<Load> {
        self
    }
}

impl LoadHandler for Crew {
    type Error = Trouble;

    async fn lift(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[tokio::test]
async fn a_run_inside_that_the_journal_has_for_another_workflow_fails_its_step_and_is_no_fault_of_the_journal() {
    let (seen, journal) = (Recorded::new(), Arc::new(MemoryJournal::new()));
    drop(Stranger::machine().id("s-1/load/load").journal(journal.clone()).begin().unwrap());
    let failure = Ship::run(&Crew).id("s-1").journal(journal).observe(seen.clone()).await.unwrap_err();
    assert_eq!((failure.step(), failure.context().kind()), (Some(Ship::Load), "journal"));
    assert!(failure.journal_error().is_none());
    assert_eq!(since(&seen, "step_end load"), ["step_end load failed: journal", "run_end failed"], "it can go on");
}
