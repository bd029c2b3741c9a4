//! What the tests share: an observer that remembers, events as short lines, journals, an error of every class.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use step_machine::event::{Event, Kind, Reason, StepEnd, StepUpdate};
use step_machine::journal::{Append, Claim, Claimed, Lease, Reply};
use step_machine::{Illegal, Journal, JournalError, MemoryJournal, Observer, RunId, RunState, StepContext, StepError};

/// An observer that remembers all events. Clones share one memory.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Vec<Event>>>);

impl Recorded {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// The events as short lines; see [`line`].
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.events())
    }

    /// What was seen since `earlier` events were.
    pub(crate) fn lines_after(&self, earlier: usize) -> Vec<String> {
        lines(&self.events()[earlier..])
    }

    pub(crate) fn len(&self) -> usize {
        self.events().len()
    }
}

impl Observer for Recorded {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(line).collect()
}

/// An event in a few words: its type, its step, and what a reader would ask first.
pub(crate) fn line(event: &Event) -> String {
    let name = match event.step() {
        Some(step) => format!("{} {step}", event.event_type()),
        None => event.event_type().to_string(),
    };
    let rest = match &event.kind {
        Kind::RunResume(resume) => {
            let rollback = if resume.rollback { " rollback" } else { "" };
            format!("{rollback}{}", if resume.again.is_empty() { "" } else { " again" })
        }
        Kind::StepStart(start) => {
            format!("{}{}", nth(start.attempt), if start.interrupted { " interrupted" } else { "" })
        }
        Kind::StepUpdate(update) => news(update),
        Kind::StepRetry(retry) => format!("{} in {:?} after {}", nth(retry.attempt), retry.delay, retry.error.kind),
        Kind::StepEnd(end) => ended(end),
        Kind::Stdout(output) | Kind::Stderr(output) => format!(" {}", output.line),
        Kind::UndoStart(start) => nth(start.attempt),
        Kind::UndoEnd(end) => match (&end.message, &end.error) {
            (Some(message), _) => format!(" {}: {message}", end.status),
            (None, Some(error)) => format!(" {}: {}", end.status, error.kind),
            (None, None) => format!(" {}", end.status),
        },
        Kind::RunEnd(end) if end.warnings > 0 => format!(" {}, warnings: {}", end.status, end.warnings),
        Kind::RunEnd(end) => format!(" {}", end.status),
        _ => String::new(),
    };
    name + &rest
}

/// The first attempt is what everybody expects; any other is told.
fn nth(attempt: u32) -> String {
    if attempt <= 1 { String::new() } else { format!(" #{attempt}") }
}

fn news(update: &StepUpdate) -> String {
    let mut text = String::new();
    if let Some(fraction) = update.fraction {
        let _ = write!(text, " {fraction}");
    }
    if let (Some(level), Some(message)) = (update.level, &update.message) {
        let _ = write!(text, " {level}: {message}");
    }
    for (key, value) in &update.metadata {
        let _ = write!(text, " {key}={value}");
    }
    if update.thinned > 0 {
        let _ = write!(text, " after {} more", update.thinned);
    }
    text
}

fn ended(end: &StepEnd) -> String {
    let why = match (end.reason, &end.message, &end.error) {
        (Some(Reason::Requested), Some(message), _) => format!(": {message}"),
        (Some(Reason::Failed), _, Some(error)) => format!(", failed: {}", error.kind),
        (Some(reason), _, _) => format!(", {reason}"),
        (None, _, Some(error)) => format!(": {}", error.kind),
        (None, _, None) => String::new(),
    };
    format!(" {}{}{why}", end.status, nth(end.attempt))
}

/// An error of every class that a step error can have.
#[derive(Debug, thiserror::Error, StepError)]
pub(crate) enum Trouble {
    #[error("connection refused")]
    Network,
    #[error("the template is broken")]
    #[step_error(kind = "template", fatal)]
    Template,
    #[error("the server asks to wait")]
    #[step_error(retry_after = wait)]
    Busy { wait: Duration },
    #[error("the answer never came")]
    #[step_error(unknown_effect)]
    Lost,
    #[error("cannot reach the server")]
    #[step_error(kind = "deep")]
    Deep(#[source] Middle),
}

#[derive(Debug, thiserror::Error)]
#[error("the tunnel is closed")]
pub(crate) struct Middle(#[source] pub(crate) std::io::Error);

/// An error with two more behind it.
pub(crate) fn deep() -> Trouble {
    Trouble::Deep(Middle(std::io::Error::other("no route to host")))
}

/// A body that has nothing to do.
pub(crate) fn ok(_: &mut StepContext) -> Result<(), Trouble> {
    Ok(())
}

/// A body that fails.
pub(crate) fn refuse(_: &mut StepContext) -> Result<(), Trouble> {
    Err(Trouble::Network)
}

/// A body that must not be called.
pub(crate) fn unreachable_body<T>(cx: &mut StepContext) -> Result<T, Trouble> {
    panic!("the body of `{}` was called", cx.step())
}

/// All of a journal but `append`, as the one in a field does it.
macro_rules! as_in {
    ($field:tt) => {
        fn claim(&self, claim: &step_machine::journal::Claim) -> Reply<step_machine::journal::Claimed> {
            self.$field.claim(claim)
        }

        crate::support::as_in!($field, but claim);
    };
    ($field:tt, but claim) => {
        fn release(&self, lease: &step_machine::journal::Lease) -> Reply<()> {
            self.$field.release(lease)
        }

        fn load(&self, run: &step_machine::RunId) -> Reply<Vec<step_machine::Event>> {
            self.$field.load(run)
        }

        crate::support::as_in!($field, but claim, release and load);
    };
    ($field:tt, but claim, release and load) => {
        fn list(&self, query: &step_machine::journal::RunQuery) -> Reply<Vec<step_machine::journal::RunSummary>> {
            self.$field.list(query)
        }

        fn abandon(&self, run: &step_machine::RunId, why: &str) -> Reply<()> {
            self.$field.abandon(run, why)
        }

        fn prune(&self, before: std::time::SystemTime) -> Reply<usize> {
            self.$field.prune(before)
        }
    };
}

pub(crate) use as_in;

/// A journal that keeps JSON text, as a file or a database does: what comes back went through its written form.
#[derive(Clone, Default)]
pub(crate) struct TextJournal {
    /// Who may write.
    runs: MemoryJournal,
    kept: Arc<Mutex<BTreeMap<RunId, Vec<String>>>>,
}

impl TextJournal {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn events(&self, run: &str) -> Vec<Event> {
        self.read(&run.into()).unwrap()
    }

    pub(crate) fn lines(&self, run: &str) -> Vec<String> {
        lines(&self.events(run))
    }

    /// The state of a run by its journal alone.
    pub(crate) fn fold(&self, run: &str) -> Result<Option<RunState>, Illegal> {
        RunState::fold(&self.events(run))
    }

    /// Changes what is kept of a run, line by line, as a fault of the store would.
    pub(crate) fn damage(&self, run: &str, change: impl FnOnce(&mut Vec<String>)) {
        change(self.kept.lock().unwrap().get_mut(&run.into()).unwrap());
    }

    fn read(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        let runs = self.kept.lock().unwrap();
        let kept = runs.get(run).map(Vec::as_slice).unwrap_or_default();
        let events = kept.iter().map(|line| Event::from_json(line)).collect::<Result<_, _>>();
        events.map_err(|source| JournalError::Read { run: run.clone(), source: source.into() })
    }
}

impl Journal for TextJournal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        Reply::ready(self.runs.claim(claim).wait().and_then(|claimed| {
            let events = self.read(&claim.run).inspect_err(|_| drop(self.runs.release(&claimed.lease)))?;
            Ok(Claimed::new(claimed.lease, events))
        }))
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        Reply::ready(self.runs.append(append).wait().map(|()| {
            let mut runs = self.kept.lock().unwrap();
            let lines = append.events.iter().map(|event| serde_json::to_string(event).unwrap());
            runs.entry(append.lease.run.clone()).or_default().extend(lines);
        }))
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        self.runs.release(lease)
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        Reply::ready(self.read(run))
    }

    as_in!(runs, but claim, release and load);
}

/// Leaves a run in a journal as a process does that dies there.
pub(crate) fn seed(journal: &dyn Journal, events: &[Event]) {
    let lease = journal.claim(&Claim::of(&events[0].run)).wait().unwrap().lease;
    journal.append(Append::new(&lease, events)).wait().unwrap();
    journal.release(&lease).wait().unwrap();
}

/// Drives a future on this thread with nothing but the standard library.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Lets other tasks run once.
pub(crate) async fn give_way() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The texts of what an error is caused by, outermost first.
pub(crate) fn chain(error: &dyn Error) -> Vec<String> {
    std::iter::successors(error.source(), |&level| level.source()).map(ToString::to_string).collect()
}

/// The text of a panic.
pub(crate) fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "?".to_owned(), |text| (*text).to_owned()),
    }
}
