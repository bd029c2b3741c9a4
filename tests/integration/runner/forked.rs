//! What a run that begins as a copy takes over of one that was not completed in the order of its steps as they are now,
//! and how the journal gets it.

use std::sync::{Arc, Mutex};

use step_machine::event::RunStatus;
use step_machine::journal::{Append, Reply};
use step_machine::{Journal, OnFailure, RunState, StepContext, Workflow};

use super::{Act::Refuse, Acts, Line};
use crate::support::{TextJournal, Trouble, as_in, lines};

/// Notes what it is given at once.
#[derive(Clone, Default)]
struct Noting {
    journal: TextJournal,
    appends: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Journal for Noting {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        self.appends.lock().unwrap().push(lines(append.events));
        self.journal.append(append)
    }

    as_in!(journal);
}

/// A copy without what it took over would do all of it again.
#[tokio::test]
async fn the_journal_gets_a_copy_of_the_typed_machine_with_all_that_it_took_over_at_once() {
    let noting = Noting::default();
    Line::run(&Acts::new()).id("old").journal(noting.journal.clone()).await.unwrap();
    let run = Line::machine().id("new").journal(noting.clone()).fork("old", Line::Scan).begin().unwrap();
    let at_once = ["run_start", "step_end fetch completed, forked", "step_end build completed, forked"];
    assert_eq!(*noting.appends.lock().unwrap(), [at_once]);
    drop(run);
}

#[tokio::test]
async fn a_copy_takes_over_nothing_behind_a_step_that_was_undone() {
    let (acts, journal) = (Acts::new().on("check", [Refuse]), TextJournal::new());
    let run = Line::run(&acts).id("old").journal(journal.clone()).on_failure(OnFailure::Rollback);
    let failure = run.await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);

    let acts = Acts::new();
    let report = Line::run(&acts).id("new").journal(journal.clone()).fork("old", Line::Check).await.unwrap();
    assert_eq!(
        acts.calls(),
        ["fetch", "build with 7", "build", "scan", "skip announce", "announce", "deploy", "check"]
    );
    assert_eq!(RunState::fold(&journal.events("new")).unwrap().as_ref(), Some(report.state()));

    let run = Line::machine().id("typed").journal(journal.clone()).fork("old", Line::Check).begin().unwrap();
    let mut is_called = false;
    let fetched = run.step(super::line::Fetch, |_| {
        is_called = true;
        Ok::<_, Trouble>(7)
    });
    assert!(fetched.is_ok() && is_called);
}

mod before {
    use super::*;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    #[workflow(name = "graph", parallel)]
    pub(super) enum Graph {
        First,
        #[step(needs(First))]
        Second,
        #[step(needs(Second))]
        Third,
    }
}

mod after {
    use super::*;

    #[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
    #[workflow(name = "graph", parallel)]
    pub(super) enum Graph {
        #[step(needs(Second))]
        First,
        Second,
        #[step(needs(First, Second))]
        Third,
    }
}

/// Notes its calls.
#[derive(Default)]
struct Calls(Mutex<Vec<&'static str>>);

macro_rules! notes {
    ($graph:ident) => {
        impl $graph::GraphHandler for Calls {
            type Error = Trouble;

            async fn first(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.0.lock().unwrap().push("first");
                Ok(())
            }

            async fn second(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.0.lock().unwrap().push("second");
                Ok(())
            }

            async fn third(&self, _: &mut StepContext) -> Result<(), Trouble> {
                self.0.lock().unwrap().push("third");
                Ok(())
            }
        }
    };
}

notes!(before);
notes!(after);

#[tokio::test]
async fn a_copy_under_other_needs_takes_over_what_is_settled() {
    let (calls, journal) = (Calls::default(), TextJournal::new());
    before::Graph::run(&calls).id("old").journal(journal.clone()).await.unwrap();
    let run = after::Graph::run(&calls).id("new").journal(journal.clone()).fork("old", after::Graph::Third);
    run.await.unwrap();
    assert_eq!(*calls.0.lock().unwrap(), ["first", "second", "third", "third"]);
    let taken = ["run_start", "step_end second completed, forked", "step_end first completed, forked"];
    assert_eq!(lines(&journal.events("new"))[..3], taken);
}
