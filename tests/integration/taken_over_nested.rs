//! A runner that is inside of a nested run while somebody else takes the outer run over: what is nested goes with it.

use std::sync::{Arc, Mutex};

use step_machine::event::RunStatus;
use step_machine::journal::Claim;
use step_machine::runner::HandlerFor;
use step_machine::{
    Cause, Failure, Journal, JournalError, MemoryJournal, RunState, SqliteJournal, StepContext, Workflow,
};
use tokio::sync::Notify;

use crate::support::Trouble;

/// What two processes have: each opens the journal for itself.
type Open<'a> = &'a dyn Fn() -> Arc<dyn Journal>;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Inner {
    A,
    B,
    #[step(undo)]
    C,
    D,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Guarded {
    #[step(undo)]
    Network,
    #[step(workflow = Inner)]
    Deploy,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Site {
    #[step(workflow = Guarded)]
    First,
    Check,
}

/// A body that asks for a nested run itself.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum ByHand {
    Outside,
}

/// Stands still in one step until the test lets it go on.
#[derive(Default)]
struct Gate {
    step: Option<&'static str>,
    /// What the nested run of `ByHand` needs for itself.
    name: Option<&'static str>,
    reached: Notify,
    opened: Notify,
    calls: Mutex<Vec<String>>,
}

impl Gate {
    fn in_step(step: &'static str) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn note(&self, call: &str) {
        self.calls.lock().unwrap().push(call.to_owned());
    }

    async fn pass(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        let step = cx.step().to_owned();
        self.note(&if cx.interrupted() { format!("{step} again") } else { step.clone() });
        if self.step == Some(&step) {
            self.reached.notify_one();
            self.opened.notified().await;
        }
        Ok(())
    }
}

impl InnerHandler for Gate {
    type Error = Trouble;

    async fn a(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }

    async fn b(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }

    async fn c(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }

    async fn d(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }

    async fn undo_c(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.note("undo c");
        Ok(())
    }
}

impl GuardedHandler for Gate {
    type Error = Trouble;

    async fn network(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }

    async fn undo_network(&self, _: &mut StepContext) -> Result<(), Trouble> {
        self.note("undo network");
        Ok(())
    }

    fn deploy(&self) -> impl HandlerFor<Inner> {
        self
    }
}

impl SiteHandler for Gate {
    type Error = Trouble;

    fn first(&self) -> impl HandlerFor<Guarded> {
        self
    }

    async fn check(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await
    }
}

impl ByHandHandler for Gate {
    type Error = Trouble;

    async fn outside(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.pass(cx).await?;
        let run = Inner::run(self);
        let run = match self.name {
            Some(name) => run.exclusive(name),
            None => run,
        };
        match cx.nested(run).await {
            Ok(_) => Ok(()),
            Err(failure) => {
                self.note(&failure.cause().to_string());
                Err(Trouble::Network)
            }
        }
    }
}

/// The run whose next write was refused.
fn taken_over<W: Workflow, E: step_machine::StepError>(failure: &Failure<W, E>) -> String {
    let error = match failure.cause() {
        Cause::Journal(error) => Some(error),
        _ => failure.journal_error(),
    };
    let Some(JournalError::TakenOver { run, .. }) = error else { panic!("{error:?}") };
    run.to_string()
}

fn folded(journal: &dyn Journal, run: &str) -> RunState {
    RunState::fold(&journal.load(&run.into()).wait().unwrap()).unwrap().unwrap()
}

fn everywhere() -> (tempfile::TempDir, MemoryJournal) {
    (tempfile::tempdir().unwrap(), MemoryJournal::new())
}

async fn the_nested_run_goes_with_its_outer_one(open: Open<'_>) {
    let (journal, other) = (open(), open());
    let (stale, fresh) = (Gate::in_step("a"), Gate::default());
    let mut stale_run = Site::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let report = Site::run(&fresh).resume("r").take_over().journal(other.clone()).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(fresh.calls(), ["a again", "b", "c", "d", "check"], "nothing is taken back, and nothing is left out");

    stale.opened.notify_one();
    let failure = stale_run.await.unwrap_err();
    assert_eq!(taken_over(&failure), "r/first/guarded/deploy/inner");
    assert_eq!(stale.calls(), ["network", "a"], "no nested step begins after it");
    for run in ["r", "r/first/guarded", "r/first/guarded/deploy/inner"] {
        assert_eq!(folded(&*journal, run).status(), RunStatus::Completed, "{run}");
    }
}

#[tokio::test]
async fn whoever_takes_a_run_over_has_what_is_nested_in_it() {
    let (folder, memory) = everywhere();
    let path = folder.path().join("runs.db");
    the_nested_run_goes_with_its_outer_one(&|| Arc::new(memory.clone())).await;
    the_nested_run_goes_with_its_outer_one(&|| Arc::new(SqliteJournal::open(&path).unwrap())).await;
}

#[cfg(unix)]
#[tokio::test]
async fn whoever_takes_a_run_in_postgres_over_has_what_is_nested_in_it() {
    let place = crate::postgres::Place::new();
    the_nested_run_goes_with_its_outer_one(&|| Arc::new(place.open())).await;
}

/// The new owner takes back what was done, and nothing in the nested run is to be taken back.
async fn who_is_inside_is_stopped_by_a_rollback(open: Open<'_>) {
    let (journal, other) = (open(), open());
    let (stale, fresh) = (Gate::in_step("a"), Gate::default());
    let mut stale_run = Guarded::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let failure = Guarded::run(&fresh).rollback().id("r").take_over().journal(other.clone()).await.unwrap_err();
    assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    assert_eq!(fresh.calls(), ["undo network"]);

    stale.opened.notify_one();
    let failure = stale_run.await.unwrap_err();
    assert_eq!(taken_over(&failure), "r/deploy/inner");
    assert_eq!(stale.calls(), ["network", "a"]);
}

#[tokio::test]
async fn whoever_takes_a_run_back_stops_who_is_nested_in_it() {
    let (folder, memory) = everywhere();
    let path = folder.path().join("runs.db");
    who_is_inside_is_stopped_by_a_rollback(&|| Arc::new(memory.clone())).await;
    who_is_inside_is_stopped_by_a_rollback(&|| Arc::new(SqliteJournal::open(&path).unwrap())).await;
}

/// The former owner comes to its nested run only when the outer one is lost.
async fn who_has_lost_the_outer_run_takes_nothing(open: Open<'_>) {
    let (journal, other) = (open(), open());
    let (stale, fresh) = (Gate::in_step("outside"), Gate::in_step("b"));
    let mut stale_run = ByHand::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let mut fresh_run = ByHand::run(&fresh).resume("r").take_over().journal(other.clone()).into_future();
    tokio::select! {
        ended = &mut fresh_run => panic!("{ended:?}"),
        () = fresh.reached.notified() => {}
    }
    stale.opened.notify_one();
    let failure = stale_run.await.unwrap_err();
    assert_eq!(taken_over(&failure), "r");
    let calls = stale.calls();
    assert_eq!((calls.len(), &*calls[0]), (2, "outside"), "{calls:?}");
    assert!(calls[1].starts_with("run r "), "the outer run is the one that is lost: {calls:?}");

    fresh.opened.notify_one();
    fresh_run.await.unwrap();
    assert_eq!(fresh.calls(), ["outside again", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_former_owner_takes_no_nested_run_from_the_new_one() {
    let (folder, memory) = everywhere();
    let path = folder.path().join("runs.db");
    who_has_lost_the_outer_run_takes_nothing(&|| Arc::new(memory.clone())).await;
    who_has_lost_the_outer_run_takes_nothing(&|| Arc::new(SqliteJournal::open(&path).unwrap())).await;
}

#[tokio::test]
async fn a_former_owner_begins_no_nested_run() {
    let journal = MemoryJournal::new();
    let stale = Gate::in_step("outside");
    let mut stale_run = ByHand::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let mut claim = Claim::of("r");
    claim.take_over = true;
    journal.claim(&claim).wait().unwrap();
    stale.opened.notify_one();
    assert_eq!(taken_over(&stale_run.await.unwrap_err()), "r");
    assert_eq!(stale.calls()[0], "outside");
    assert!(!stale.calls().iter().any(|call| call == "a"), "{:?}", stale.calls());
    assert!(journal.load(&"r/outside/inner".into()).wait().unwrap().is_empty());
}

/// The new owner has not come to the nested run: then what is told of it in the outer one is refused, and two more steps may have begun
/// until that is known.
#[tokio::test]
async fn a_former_owner_learns_of_it_by_its_news() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, other) = (SqliteJournal::open(&path).unwrap(), SqliteJournal::open(&path).unwrap());
    let stale = Gate::in_step("a");
    let mut stale_run = ByHand::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let mut claim = Claim::of("r");
    claim.take_over = true;
    other.claim(&claim).wait().unwrap();
    stale.opened.notify_one();
    assert_eq!(taken_over(&stale_run.await.unwrap_err()), "r");
    assert_eq!(stale.calls()[..2], ["outside", "a"]);
    assert!(!stale.calls().iter().any(|call| call == "d"), "{:?}", stale.calls());
    assert_eq!(folded(&journal, "r/outside/inner").status(), RunStatus::Cancelled);
}

#[tokio::test]
async fn a_run_that_somebody_began_by_himself_under_that_id_is_left_to_him() {
    let journal = MemoryJournal::new();
    let theirs = Inner::machine().start("r/outside/inner").journal(journal.clone()).begin().unwrap();
    let gate = Gate::default();
    let failure = ByHand::run(&gate).start("r").journal(journal.clone()).await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)), "{failure:?}");
    let calls = gate.calls();
    assert!(calls[1].starts_with("run r/outside/inner is driven by "), "{calls:?}");
    assert_eq!(calls.len(), 2, "{calls:?}");
    drop(theirs.step(inner::A, |_| Ok::<(), Trouble>(())).unwrap());
}

#[tokio::test]
async fn names_are_taken_from_no_other_run_with_it() {
    let journal = MemoryJournal::new();
    let (stale, fresh) =
        (Gate { name: Some("web"), ..Gate::in_step("a") }, Gate { name: Some("mail"), ..Gate::default() });
    let mut stale_run = ByHand::run(&stale).start("r").journal(journal.clone()).into_future();
    tokio::select! {
        ended = &mut stale_run => panic!("{ended:?}"),
        () = stale.reached.notified() => {}
    }
    let theirs = Inner::machine().start("s").exclusive("mail").journal(journal.clone()).begin().unwrap();
    let failed = ByHand::run(&fresh).resume("r").take_over().journal(journal.clone()).await.unwrap_err();
    assert!(matches!(failed.cause(), Cause::Error(Trouble::Network)), "{failed:?}");
    assert!(fresh.calls()[1].contains("mail"), "{:?}", fresh.calls());
    drop(theirs.step(inner::A, |_| Ok::<(), Trouble>(())).unwrap());

    // What the nested run held goes with it.
    stale.opened.notify_one();
    drop((failed, stale_run.await.unwrap_err()));
    let last = Gate { name: Some("web"), ..Gate::default() };
    ByHand::run(&last).resume("r").journal(journal.clone()).await.unwrap();
    assert_eq!(last.calls()[1..], ["a again", "b", "c", "d"]);
}
