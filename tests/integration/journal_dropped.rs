//! Runs that are dropped while they are claimed: their journal answers nobody.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use step_machine::event::{Event, EventType, RunStatus};
use step_machine::journal::{Answer, Append, Claim, Claimed, Lease, Reply, RunQuery};
use step_machine::observe::callbacks;
use step_machine::runner::HandlerFor;
use step_machine::{Journal, JournalError, MemoryJournal, RunId, SqliteJournal, StepContext, Workflow};

use crate::gated::{Gate, Release};
use crate::support::{Trouble, as_in, seed};

/// No test comes near to it that passes.
const LONG: Duration = Duration::from_secs(20);

/// Another journal, which may answer claims later, and tells of each lease that it was given back. Who listens hears of
/// its end too.
#[derive(Clone)]
pub(crate) struct Watched<J> {
    inner: J,
    held: Arc<Mutex<Held>>,
    released: Sender<RunId>,
}

#[derive(Default)]
struct Held {
    is_holding: bool,
    answers: Vec<(Answer<Claimed>, Reply<Claimed>)>,
}

impl<J: Journal> Watched<J> {
    pub(crate) fn new(inner: J) -> (Self, Receiver<RunId>) {
        let (released, told) = channel();
        (Self { inner, held: Arc::default(), released }, told)
    }

    /// Claims are granted from now on, and not answered.
    fn hold(&self) {
        self.held.lock().unwrap().is_holding = true;
    }

    /// Answers, as a store of one lock does: whoever gives back a lease from within would wait for himself.
    fn answer(&self) {
        let mut held = self.held.lock().unwrap();
        held.is_holding = false;
        for (answer, reply) in held.answers.drain(..) {
            answer.send(reply.wait());
        }
    }
}

impl<J: Journal> Journal for Watched<J> {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        let reply = self.inner.claim(claim);
        let mut held = self.held.lock().unwrap();
        if !held.is_holding {
            return reply;
        }
        let (answer, later) = Reply::later();
        held.answers.push((answer, reply));
        later
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        self.inner.append(append)
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        let _held = self.held.lock().unwrap();
        let reply = self.inner.release(lease);
        let _ = self.released.send(lease.run.clone());
        reply
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.inner.load(run)
    }

    as_in!(inner, but claim, release and load);
}

/// Drops a run that has just asked for its claim; `meanwhile` is what happens in between.
pub(crate) async fn give_up<J: Journal + 'static>(journal: Watched<J>, meanwhile: impl FnOnce()) {
    let gate = Gate::default();
    let mut run = pin!(Release::run(&gate).id("r").journal(journal).into_future());
    let is_claimed = poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_ready())).await;
    assert!(!is_claimed, "its claim was to wait");
    meanwhile();
}

/// A run that was given up is given back, and then nobody holds it.
pub(crate) async fn goes_on<J: Journal + 'static>(journal: Watched<J>, released: &Receiver<RunId>) {
    assert_eq!(released.recv_timeout(LONG), Ok("r".into()));
    let report = Release::run(&Gate::default()).id("r").journal(journal).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
}

#[tokio::test]
async fn a_journal_is_given_back_what_it_grants_to_a_run_that_was_dropped() {
    let (journal, released) = Watched::new(MemoryJournal::new());
    journal.hold();
    give_up(journal.clone(), || ()).await;
    assert_eq!(released.try_recv(), Err(TryRecvError::Empty), "nothing was granted yet");
    let refused = journal.inner.claim(&Claim::of("r")).wait().map(drop).unwrap_err();
    assert!(matches!(refused, JournalError::Owned { .. }), "{refused:?}");
    journal.answer();
    goes_on(journal, &released).await;
}

#[tokio::test]
async fn a_journal_is_given_back_at_once_what_it_has_granted_already() {
    let (journal, released) = Watched::new(MemoryJournal::new());
    journal.hold();
    give_up(journal.clone(), || journal.answer()).await;
    assert_eq!(released.try_recv(), Ok("r".into()));
    let report = Release::run(&Gate::default()).id("r").journal(journal).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
}

#[tokio::test]
async fn a_journal_is_given_back_nothing_that_it_did_not_grant() {
    let memory = MemoryJournal::new();
    let _owner = memory.claim(&Claim::of("r")).wait().unwrap();
    let answers: [fn(&Watched<MemoryJournal>); 2] =
        [Watched::answer, |journal| journal.held.lock().unwrap().answers.clear()];
    for answer in answers {
        let (journal, released) = Watched::new(memory.clone());
        journal.hold();
        give_up(journal.clone(), || ()).await;
        answer(&journal);
        drop(journal);
        assert_eq!(released.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }
    assert!(matches!(memory.claim(&Claim::of("r")).wait(), Err(JournalError::Owned { .. })));
}

#[tokio::test]
async fn a_run_that_nobody_drops_is_given_back_with_its_end_only() {
    let (journal, released) = Watched::new(MemoryJournal::new());
    journal.hold();
    let gate = Gate::default();
    let mut run = pin!(Release::run(&gate).id("r").journal(journal.clone()).into_future());
    assert!(poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_pending())).await);
    journal.answer();
    assert_eq!(run.await.unwrap().state().status(), RunStatus::Completed);
    drop(journal);
    assert_eq!(released.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

/// Keeps a file from being written. It drives two runs, so that it is the journal's own thread that claims a third.
fn block(path: &std::path::Path, journal: &Watched<SqliteJournal>) -> rusqlite::Connection {
    for other in ["a", "b"] {
        drop(journal.inner.claim(&Claim::of(other)).wait().unwrap());
    }
    let writer = rusqlite::Connection::open(path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer
}

#[tokio::test]
async fn a_file_is_given_back_what_it_grants_to_a_run_that_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    for has_events in [false, true] {
        let (journal, released) = Watched::new(SqliteJournal::open(&path).unwrap());
        if has_events {
            let start = journal.load(&"r".into()).wait().unwrap().remove(0);
            journal.prune(std::time::SystemTime::now()).wait().unwrap();
            seed(&journal.inner, &[start]);
        }
        let writer = block(&path, &journal);
        give_up(journal.clone(), || ()).await;
        writer.execute_batch("ROLLBACK").unwrap();
        goes_on(journal, &released).await;
    }
}

#[tokio::test]
async fn a_file_whose_last_user_is_a_claim_that_was_dropped_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, released) = Watched::new(SqliteJournal::open(&path).unwrap());
    let writer = block(&path, &journal);
    give_up(journal.clone(), || ()).await;
    drop(journal);
    writer.execute_batch("ROLLBACK").unwrap();
    let told: Vec<_> = std::iter::from_fn(|| Some(released.recv_timeout(LONG))).take(2).collect();
    assert_eq!(told, [Ok("r".into()), Err(RecvTimeoutError::Disconnected)]);
    let other = SqliteJournal::open(&path).unwrap();
    assert_eq!(other.list(&RunQuery::of("r")).wait().unwrap(), [], "it never began");
    drop(other.claim(&Claim::of("r")).wait().unwrap());
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Inner {
    Copy,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Timed {
    #[step(workflow = Inner, timeout = "200ms", retry(attempts = 2, delay = "300ms", jitter = false))]
    Deploy,
}

struct Ready;

impl InnerHandler for Ready {
    type Error = Trouble;

    async fn copy(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

impl TimedHandler for Ready {
    type Error = Trouble;

    fn deploy(&self) -> impl HandlerFor<Inner> {
        self
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_time_ran_out_while_its_run_was_claimed_is_tried_again() {
    let (journal, released) = Watched::new(MemoryJournal::new());
    let (store, told) = (journal.clone(), Arc::new(Mutex::new(Vec::new())));
    let (mut attempts, heard) = (0, told.clone());
    let watch = callbacks().on_any(move |event| {
        if event.run == "r".into() && event.event_type() == EventType::StepStart {
            attempts += 1;
            if attempts == 1 {
                store.hold();
            } else {
                store.answer();
                heard.lock().unwrap().push(released.recv_timeout(LONG));
            }
        }
    });
    let report = Timed::run(&Ready).id("r").journal(journal.clone()).observe(watch).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
    assert_eq!(*told.lock().unwrap(), [Ok("r/deploy/inner".into())]);
    let kept: Vec<_> = journal.load(&"r".into()).wait().unwrap().iter().map(Event::event_type).collect();
    let kept: Vec<_> = kept.into_iter().filter(|kind| *kind != EventType::StepUpdate).collect();
    use EventType::{RunEnd, RunStart, StepEnd, StepRetry, StepStart};
    assert_eq!(kept, [RunStart, StepStart, StepRetry, StepStart, StepEnd, RunEnd]);
}
