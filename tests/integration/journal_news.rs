//! What observers may have seen that a journal refused afterwards: news of steps, and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use step_machine::event::{Event, EventType, RunStatus};
use step_machine::journal::{Answer, Append, Reply, Synchronous, Waiting};
use step_machine::{Cause, Failure, Journal, JournalError, RunState, SqliteJournal, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, as_in, block_on};

/// From one write on its store is full. It says so to whoever waits, and to those who do not when it is too late.
#[derive(Clone, Default)]
struct Full {
    kept: TextJournal,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    writes: usize,
    /// The first write that there is no room for.
    from: Option<usize>,
    unanswered: Vec<Answer<()>>,
    /// The events of which nobody was told that they were refused.
    refused: Vec<Event>,
}

impl Full {
    fn from(write: usize) -> Self {
        let full = Self::default();
        full.state().from = Some(write);
        full
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn empty(&self) {
        self.state().from = None;
    }
}

impl Journal for Full {
    fn append(&self, append: Append<'_>) -> Reply<()> {
        let mut state = self.state();
        state.writes += 1;
        if state.from.is_none_or(|from| state.writes < from) {
            drop(state);
            return self.kept.append(append);
        }
        if append.waiting == Waiting::Nobody {
            state.refused.extend(append.events.iter().cloned());
            let (answer, reply) = Reply::later();
            state.unanswered.push(answer);
            return reply;
        }
        let source = "the disk is full".into();
        Reply::ready(Err(JournalError::Write { run: append.lease.run.clone(), source }))
    }

    as_in!(kept);
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Copying {
    #[step(undo, output = u8)]
    Files,
    #[step(retry(attempts = 2, delay = "0s"), undo)]
    Index,
    #[step(critical = false)]
    Scan,
    Check,
}
use copying::{Check, Files, Index, Scan};

type Failed = Failure<Copying, Trouble>;

/// News of every kind.
fn tells(cx: &mut StepContext) {
    cx.message("at work");
    cx.stdout("a line");
    cx.stderr("another line");
    cx.metadata("key", 1);
    cx.progress(0.5);
    let mut task = cx.task("part", "One part");
    task.progress(0.5);
    drop(task);
}

fn is_news(event: &Event) -> bool {
    use EventType::{Stalled, Stderr, Stdout, StepUpdate, TaskEnd, TaskStart, TaskUpdate};
    [StepUpdate, Stdout, Stderr, TaskStart, TaskUpdate, TaskEnd, Stalled].contains(&event.event_type())
}

/// What a step returns, by its place and attempt: one is tried again, one fails and is not critical, the last one stops
/// the run.
fn comes_to(cx: &StepContext, stops: bool) -> Result<(), Trouble> {
    match (cx.step(), cx.attempt()) {
        ("index", 1) | ("scan", _) => Err(Trouble::Network),
        ("check", _) if stops => Err(Trouble::Network),
        _ => Ok(()),
    }
}

struct Copier {
    stops: bool,
}

impl CopyingHandler for Copier {
    type Error = Trouble;

    async fn files(&self, cx: &mut StepContext) -> Result<u8, Trouble> {
        tells(cx);
        comes_to(cx, self.stops).map(|()| 7)
    }

    async fn undo_files(&self, cx: &mut StepContext, _: Option<&u8>) -> Result<(), Trouble> {
        Ok(cx.message("going back"))
    }

    async fn index(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        tells(cx);
        comes_to(cx, self.stops)
    }

    async fn undo_index(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        Ok(cx.message("going back"))
    }

    async fn scan(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        tells(cx);
        comes_to(cx, self.stops)
    }

    async fn check(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        tells(cx);
        comes_to(cx, self.stops)
    }
}

/// Drives a run, whose last step fails where it `stops`, and takes it back then.
type Drive = fn(Arc<dyn Journal>, Recorded, bool) -> Result<RunState, Failed>;

fn by_machine(journal: Arc<dyn Journal>, seen: Recorded, stops: bool) -> Result<RunState, Failed> {
    let body = |cx: &mut StepContext| {
        tells(cx);
        comes_to(cx, stops)
    };
    let drive = || {
        let run = Copying::machine().id("r").journal(journal).observe(seen).begin()?;
        let (run, _) = run.step(Files, |cx| body(cx).map(|()| 7))?;
        let run = run.step_retry(Index, body)?.step(Scan, body).step(Check, body)?;
        Ok(run.finish()?.state().clone())
    };
    drive().map_err(|failure: Failed| failure.rollback(|_, cx| Ok::<_, Trouble>(cx.message("going back"))))
}

fn by_runner(journal: Arc<dyn Journal>, seen: Recorded, stops: bool) -> Result<RunState, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let copier = Copier { stops };
    let report = runtime.block_on(async { Copying::run(&copier).id("r").journal(journal).observe(seen).await })?;
    Ok(report.state().clone())
}

/// What holds of every run whose journal failed; the events that were shown although they are not durable.
fn shown_only(kept: &[Event], seen: &[Event]) -> Vec<Event> {
    // What is durable was shown, as it is, in its order: nothing is missing and nothing came in between.
    assert_eq!(seen.get(..kept.len()), Some(kept), "what is durable is what was seen first");
    let more = &seen[kept.len()..];
    for event in more {
        assert!(is_news(event), "{} of {:?} was seen and is not durable", event.event_type(), event.step());
    }
    more.to_vec()
}

fn a_full_store_at_any_write(drive: Drive, stops: bool) {
    let healthy = Full::default();
    let ended = drive(Arc::new(healthy.clone()), Recorded::new(), stops);
    assert_eq!(ended.is_err(), stops);
    let total = healthy.state().writes;
    let mut shown = Vec::new();
    for at in 1..=total {
        let (journal, seen) = (Full::from(at), Recorded::new());
        let ended = drive(Arc::new(journal.clone()), seen.clone(), stops);
        let kept = journal.kept.events("r");
        let only_shown = shown_only(&kept, &seen.events());
        assert_eq!(only_shown, journal.state().refused, "write {at}: all that nobody waits for is shown at once");
        let failure = ended.expect_err("the run cannot go to its end");
        assert!(is_full(&failure), "write {at}: {failure:?}");
        // The state that the failure has counts them too, and is otherwise what is durable: none where nothing is.
        let last = seen.events().last().map(|event| event.seq);
        assert_eq!(failure.state().map(RunState::seq), last, "write {at}");
        drop(failure);
        assert_eq!(seen.len(), kept.len() + only_shown.len(), "nothing is shown when the run is let go");
        // Who goes on takes their numbers for other events: the journal never had them. `begin` goes only forward.
        let can_go_on = journal.kept.fold("r").unwrap().is_some_and(|state| state.status() == RunStatus::Running);
        if can_go_on && !only_shown.is_empty() {
            journal.empty();
            let again = Recorded::new();
            let _ = drive(Arc::new(journal.clone()), again.clone(), stops);
            let first = again.events().remove(0);
            assert_eq!((first.seq, first.event_type()), (only_shown[0].seq, EventType::RunResume), "write {at}");
        }
        shown.extend(only_shown);
    }
    // Else nothing would have been tried: news of every kind were shown that no journal has.
    use EventType::{Stderr, Stdout, StepUpdate, TaskEnd, TaskStart, TaskUpdate};
    for kind in [StepUpdate, Stdout, Stderr, TaskStart, TaskUpdate, TaskEnd] {
        assert!(shown.iter().any(|event| event.event_type() == kind), "no {kind} was shown and refused");
    }
}

fn is_full(failure: &Failed) -> bool {
    let beside = failure.journal_error();
    let error = match failure.cause() {
        Cause::Journal(error) => Some(error),
        _ => beside,
    };
    matches!(error, Some(JournalError::Write { source, .. }) if source.to_string() == "the disk is full")
}

#[test]
fn the_machine_shows_nothing_but_news_before_its_journal_has_it() {
    a_full_store_at_any_write(by_machine, false);
    a_full_store_at_any_write(by_machine, true);
}

#[test]
fn the_runner_shows_nothing_but_news_before_its_journal_has_it() {
    a_full_store_at_any_write(by_runner, false);
    a_full_store_at_any_write(by_runner, true);
}

/// The same with a file that may grow no further: what was shown and is not there is the end of the news.
#[tokio::test]
async fn a_file_without_room_has_all_that_was_seen_but_for_the_last_news() {
    #[derive(Workflow, Debug)]
    enum Endless {
        Talk,
        Rest,
    }
    struct Talker(SqliteJournal);
    impl EndlessHandler for Talker {
        type Error = Trouble;

        async fn talk(&self, cx: &mut StepContext) -> Result<(), Trouble> {
            for line in 0..2000 {
                cx.stdout(format!("line {line} of a log that is longer than there is room for"));
                // What waits goes into one commit, and where all of it does, none of it is kept.
                while line == 20 && self.0.load(&"r".into()).await.unwrap().len() < 20 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Ok(())
        }

        async fn rest(&self, _: &mut StepContext) -> Result<(), Trouble> {
            panic!("no body is called after a refused write")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let options = SqliteJournal::options().synchronous(Synchronous::Normal).max_size(120 << 10);
    let (journal, seen) = (options.open(&path).unwrap(), Recorded::new());
    let failure = Endless::run(&Talker(journal.clone()))
        .id("r")
        .journal(journal.clone())
        .observe(seen.clone())
        .await
        .unwrap_err();
    let error = match failure.cause() {
        Cause::Journal(error) => Some(error),
        _ => failure.journal_error(),
    };
    assert!(matches!(error, Some(JournalError::Write { .. })), "{failure:?}");
    let kept = journal.load(&"r".into()).wait().unwrap();
    let shown = shown_only(&kept, &seen.events());
    assert!(kept.len() >= 20 && kept.len() + shown.len() < 2003, "{} kept, {} only shown", kept.len(), shown.len());
    let state = RunState::fold(&kept).unwrap().unwrap();
    assert_eq!(state.status(), RunStatus::Running);
}

/// What a store refuses at once is not shown, news or not; see also `journal_faults`.
#[test]
fn news_that_are_refused_at_once_are_not_shown() {
    #[derive(Clone, Default)]
    struct Refusing(TextJournal);
    impl Journal for Refusing {
        fn append(&self, append: Append<'_>) -> Reply<()> {
            if append.waiting == Waiting::Nobody {
                return Reply::ready(Err(JournalError::Closed));
            }
            self.0.append(append)
        }
        as_in!(0);
    }
    let (journal, seen) = (Refusing::default(), Recorded::new());
    let run = Copying::machine().id("r").journal(journal.clone()).observe(seen.clone()).begin().unwrap();
    let failure = block_on(run.step_async(Files, async |cx| {
        tells(cx);
        Ok::<u8, Trouble>(7)
    }))
    .unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Closed)), "{failure:?}");
    assert_eq!(seen.lines(), ["run_start", "step_start files"]);
    assert_eq!(journal.0.events("r"), seen.events());
}
