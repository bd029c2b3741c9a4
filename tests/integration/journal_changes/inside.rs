//! What does not fit is found only once the run goes on: inside of a step, or in an output. It destroys nothing.

use std::sync::Mutex;
use std::time::Duration;

use step_machine::event::RunStatus;
use step_machine::runner::{HandlerFor, Runner};
use step_machine::{Cause, Failure, JournalError, MemoryJournal, StepContext, Workflow};
use tokio::time::timeout;

use crate::support::Trouble;

mod before {
    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "inner")]
    pub(super) enum Inner {
        Pull,
        Start,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "outer", on_failure = "rollback")]
    pub(super) enum Outer {
        #[step(undo)]
        First,
        #[step(workflow = Inner)]
        Inside,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "by-hand", on_failure = "rollback")]
    pub(super) enum ByHand {
        #[step(undo)]
        First,
        #[step(retry(attempts = 3, delay = "1s"))]
        Inside,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "typed", on_failure = "rollback")]
    pub(super) enum Typed {
        #[step(undo, output = u32)]
        First,
        #[step(needs(First))]
        Start,
    }
}

mod after {
    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "inner")]
    pub(super) enum Inner {
        Fetch,
        Start,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "outer", on_failure = "rollback")]
    pub(super) enum Outer {
        #[step(undo)]
        First,
        #[step(workflow = Inner)]
        Inside,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "by-hand", on_failure = "rollback")]
    pub(super) enum ByHand {
        #[step(undo)]
        First,
        #[step(retry(attempts = 3, delay = "1s"))]
        Inside,
    }

    #[derive(step_machine::Workflow, Debug)]
    #[workflow(name = "typed", on_failure = "rollback")]
    pub(super) enum Typed {
        #[step(undo, output = String)]
        First,
        #[step(needs(First))]
        Start,
    }
}

/// The process that dies hangs in `start`.
#[derive(Default)]
struct Host {
    hangs: bool,
    calls: Mutex<Vec<&'static str>>,
}

impl Host {
    fn note(&self, call: &'static str) -> Result<(), Trouble> {
        self.calls.lock().unwrap().push(call);
        Ok(())
    }

    async fn begin(&self) -> Result<(), Trouble> {
        self.note("start")?;
        if self.hangs { std::future::pending().await } else { Ok(()) }
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }
}

macro_rules! inner {
    ($handler:path, $first:ident, $call:literal) => {
        impl $handler for Host {
            type Error = Trouble;

            async fn $first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.note($call)
            }

            async fn start(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.begin().await
            }
        }
    };
}

inner!(before::InnerHandler, pull, "pull");
inner!(after::InnerHandler, fetch, "fetch");

macro_rules! outer {
    ($handler:path, $inner:ty) => {
        impl $handler for Host {
            type Error = Trouble;

            async fn first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.note("first")
            }

            async fn undo_first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.note("undo first")
            }

            fn inside(&self) -> impl HandlerFor<$inner> {
                self
            }
        }
    };
}

outer!(before::OuterHandler, before::Inner);
outer!(after::OuterHandler, after::Inner);

/// A body's own error, whatever went wrong in the run that it nests.
macro_rules! by_hand {
    ($handler:path, $inner:ty) => {
        impl $handler for Host {
            type Error = Trouble;

            async fn first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.note("first")
            }

            async fn undo_first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.note("undo first")
            }

            async fn inside(&self, cx: &mut StepContext) -> Result<(), Trouble> {
                cx.nested(<$inner>::run(self)).await.map(drop).map_err(|_| Trouble::Network)
            }
        }
    };
}

by_hand!(before::ByHandHandler, before::Inner);
by_hand!(after::ByHandHandler, after::Inner);

macro_rules! typed {
    ($handler:path, $output:ty) => {
        impl $handler for Host {
            type Error = Trouble;

            async fn first(&self, _: &mut StepContext) -> Result<$output, Trouble> {
                self.note("first").map(|()| <$output>::default())
            }

            async fn undo_first(&self, _: &mut StepContext, _: Option<&$output>) -> Result<(), Trouble> {
                self.note("undo first")
            }

            async fn start(&self, _: &mut StepContext, _: &$output) -> Result<(), Trouble> {
                self.begin().await
            }
        }
    };
}

typed!(before::TypedHandler, u32);
typed!(after::TypedHandler, String);

/// What a process leaves that dies in `start`.
async fn left<W: Workflow, P: HandlerFor<W>>(run: Runner<'_, W, P>) -> MemoryJournal {
    let journal = MemoryJournal::new();
    let mut run = run.id("r").journal(journal.clone()).into_future();
    assert!(timeout(Duration::from_secs(1), &mut run).await.is_err());
    journal.after_crash()
}

/// The journal's error, where the step of that id failed with it, and nothing else happened.
fn unfit<W: Workflow>(failure: &Failure<W, Trouble>, step: &str) -> String {
    assert_eq!(failure.context().record().step.as_ref().unwrap().id(), step);
    assert_eq!(failure.state().unwrap().status(), RunStatus::Failed);
    match failure.cause() {
        Cause::Journal(error @ (JournalError::PlanChanged { .. } | JournalError::Output { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_that_does_not_fit_waits_for_the_version_that_began_it() {
    let dying = Host { hangs: true, ..Host::default() };
    let journal = left(before::Outer::run(&dying)).await;
    let host = Host::default();
    let failure = after::Outer::run(&host).id("r").journal(journal.clone()).await.unwrap_err();
    assert!(unfit(&failure, "inside").starts_with("run r/inside/inner: the workflow changed since"), "{failure}");
    assert_eq!(host.calls(), Vec::<&str>::new());
    drop(failure);
    let report = before::Outer::run(&host).id("r").journal(journal).await.unwrap();
    assert_eq!((report.state().status(), host.calls()), (RunStatus::Completed, vec!["start"]));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_body_nests_waits_for_the_version_that_began_it() {
    let dying = Host { hangs: true, ..Host::default() };
    let journal = left(before::ByHand::run(&dying)).await;
    let host = Host::default();
    let failure = after::ByHand::run(&host).id("r").journal(journal.clone()).await.unwrap_err();
    assert!(unfit(&failure, "inside").starts_with("run r/inside/inner: the workflow changed since"), "{failure}");
    assert_eq!(failure.context().record().attempt, 2, "it is not tried again");
    drop(failure);
    let report = before::ByHand::run(&host).id("r").journal(journal).await.unwrap();
    assert_eq!((report.state().status(), host.calls()), (RunStatus::Completed, vec!["start"]));
}

#[tokio::test(start_paused = true)]
async fn an_output_that_does_not_fit_waits_for_the_version_that_wrote_it() {
    let dying = Host { hangs: true, ..Host::default() };
    let journal = left(before::Typed::run(&dying)).await;
    let host = Host::default();
    let failure = after::Typed::run(&host).id("r").journal(journal.clone()).await.unwrap_err();
    assert!(unfit(&failure, "start").contains("the recorded output of step `first` does not fit"), "{failure}");
    assert_eq!(host.calls(), Vec::<&str>::new());
    drop(failure);
    let report = before::Typed::run(&host).id("r").journal(journal).await.unwrap();
    assert_eq!((report.state().status(), host.calls()), (RunStatus::Completed, vec!["start"]));
}
