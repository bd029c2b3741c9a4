//! A process that dies, everywhere in turn.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::exhaust::{Panicked, caught};
use crate::event::{Event, Kind, RunStatus};
use crate::journal::{
    Append, Claim, Claimed, Journal, JournalError, Lease, MemoryJournal, Reply, RunQuery, RunSummary,
};
use crate::report::{Failure, Report};
use crate::run_id::RunId;
use crate::runner::{HandlerFor, Runner};
use crate::state::RunState;
use crate::sync::lock;
use crate::workflow::Workflow;

/// How long one case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a workflow again and again, lets its process die at each write to its journal in turn, and goes on from there.
///
/// `drive` is called once for each case. It makes a fresh environment, which outlives the process as a disk does, hands
/// the run to [`crash.run`](Crash::run) and asserts what is there in the end. The first case is a run without a crash;
/// after that, for each write, the process dies
///
/// - when the journal has the write, and nobody knows it yet: a step that was to begin has not begun;
/// - as soon as the body that follows waits for something, or else with the next write: its work may be done, and the
///   journal does not know it.
///
/// Then another process resumes the run from what the journal has. It has to end as the one without a crash did, no
/// step that was settled may run again, and the journal has to be the record of a legal run.
///
/// The journal is one in memory, so this costs no disk. What is not covered: a body that blocks its thread is not cut
/// off in the middle, and journals, which have tests of their own.
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
///
/// use step_machine::testing::{self, Crash};
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow)]
/// enum Deploy {
///     Download,
///     Start,
/// }
///
/// #[derive(Default)]
/// struct World {
///     files: Mutex<Vec<&'static str>>,
/// }
///
/// impl World {
///     /// As often as it is called, the file is there once.
///     fn put(&self, file: &'static str) {
///         let mut files = self.files.lock().unwrap();
///         files.retain(|other| *other != file);
///         files.push(file);
///     }
/// }
///
/// impl DeployHandler for World {
///     type Error = std::io::Error;
///
///     async fn download(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.put("archive"))
///     }
///
///     async fn start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.put("pid"))
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let crashed = testing::crash_everywhere(async |crash: Crash| {
///     let world = World::default();
///     let ended = crash.run(|| Deploy::run(&world)).await?;
///     assert!(ended.is_ok());
///     assert_eq!(world.files.lock().unwrap().as_slice(), ["archive", "pid"]);
///     Ok(())
/// });
/// // run_start and the first step's intent; its outcome and the next intent; the last outcome and run_end.
/// assert_eq!(crashed.await.unwrap().writes(), 3);
/// # });
/// ```
pub async fn crash_everywhere(
    mut drive: impl AsyncFnMut(Crash) -> Result<(), Crashing>,
) -> Result<Crashed, CrashError> {
    let whole = visit(&mut drive, Crash::new(None, None)).await?;
    for write in 1..=whole.writes {
        for learns in [false, true] {
            let death = Death { write, learns };
            visit(&mut drive, Crash::new(Some(death), whole.end.clone())).await?;
        }
    }
    Ok(Crashed { writes: whole.writes })
}

async fn visit(drive: &mut impl AsyncFnMut(Crash) -> Result<(), Crashing>, crash: Crash) -> Result<Seen, CrashError> {
    let (death, seen) = (crash.death, crash.seen.clone());
    match tokio::time::timeout(LIMIT, caught(drive(crash))).await {
        Ok(Ok(Ok(()))) => lock(&seen).take().ok_or(CrashError::NotRun { death }),
        Ok(Ok(Err(crashing))) => Err(CrashError::Mismatch { death, crashing }),
        Ok(Err(Panicked)) => Err(CrashError::Panicked { death }),
        Err(_) => Err(CrashError::TooLong { death, limit: LIMIT }),
    }
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Death {
    /// With which write to the journal, from 1.
    pub write: usize,
    /// Whether it learns that the journal has it, so that what follows begins.
    pub learns: bool,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.learns { "some time after" } else { "right with" };
        write!(f, "where the process dies {when} write {} to the journal", self.write)
    }
}

/// One case of [`crash_everywhere`].
pub struct Crash {
    death: Option<Death>,
    /// How the run without a crash ended.
    expected: Option<End>,
    seen: Arc<Mutex<Option<Seen>>>,
}

#[derive(Debug, Clone)]
struct Seen {
    writes: usize,
    end: Option<End>,
}

/// What has to be the same with and without a crash.
#[derive(Debug, Clone, PartialEq)]
struct End {
    status: RunStatus,
    steps: Vec<crate::event::StepStatus>,
}

impl End {
    fn of(state: &RunState) -> Self {
        Self { status: state.status(), steps: state.steps().iter().map(crate::state::StepState::status).collect() }
    }
}

impl Crash {
    fn new(death: Option<Death>, expected: Option<End>) -> Self {
        Self { death, expected, seen: Arc::default() }
    }

    /// When the process dies; in the first case it does not.
    pub fn death(&self) -> Option<Death> {
        self.death
    }

    /// Runs what `make` gives until the process dies, and again from what is left, to the end. Gives how that ended.
    ///
    /// `make` is called once for each process. What it gives is run under one id, unless it sets one, and in a journal
    /// that is set here.
    pub async fn run<'h, W, P>(
        &self,
        mut make: impl FnMut() -> Runner<'h, W, P>,
    ) -> Result<Result<Report<W>, Failure<W, P::Error>>, Crashing>
    where
        W: Workflow,
        P: HandlerFor<W> + 'h,
    {
        let journal = Mortal::new(self.death);
        let Some(ended) = life(&journal, make()).await else {
            let left = journal.kept.after_crash();
            let after = Mortal { kept: left.clone(), ..Mortal::new(None) };
            let before = settled(&left)?;
            let ended = life(&after, make()).await.ok_or(Crashing::Hangs)?;
            self.compare(&kept(&left, &ended)?)?;
            check_record(&left, before)?;
            self.leave(journal.writes());
            return Ok(ended);
        };
        let end = End::of(&kept(&journal.kept, &ended)?);
        *lock(&self.seen) = Some(Seen { writes: journal.writes(), end: Some(end) });
        Ok(ended)
    }

    fn compare(&self, state: &RunState) -> Result<(), Crashing> {
        let (found, Some(expected)) = (End::of(state), &self.expected) else { return Ok(()) };
        if found.status != expected.status {
            return Err(Crashing::Ended { expected: expected.status, found: found.status });
        }
        let differs = found.steps.iter().zip(&expected.steps).position(|(found, expected)| found != expected);
        match differs.and_then(|index| state.plan().steps.get(index)) {
            Some(step) => Err(Crashing::Step { step: step.id.clone() }),
            None => Ok(()),
        }
    }

    fn leave(&self, writes: usize) {
        *lock(&self.seen) = Some(Seen { writes, end: None });
    }
}

/// Where the run stands by its journal: one that was over before has no other state.
fn kept<W, E>(journal: &MemoryJournal, ended: &Result<Report<W>, Failure<W, E>>) -> Result<RunState, Crashing> {
    let run = match ended {
        Ok(report) => report.run(),
        Err(failure) => &failure.context().record().run,
    };
    let state = RunState::fold(&journal.load(run).wait()?);
    let state = state.map_err(|error| Crashing::Record { message: error.to_string() })?;
    state.ok_or_else(|| Crashing::NoRun { message: ended.as_ref().err().map(ToString::to_string).unwrap_or_default() })
}

/// One process: what it ended with, or nothing where it died.
async fn life<'h, W: Workflow, P: HandlerFor<W> + 'h>(
    journal: &Mortal,
    run: Runner<'h, W, P>,
) -> Option<Result<Report<W>, Failure<W, P::Error>>> {
    let run = if run.opening.id.is_some() { run } else { run.id("crash-everywhere") };
    let run = run.journal(journal.clone()).into_future();
    tokio::select! {
        // What can go on does, until it waits.
        biased;
        ended = run => (!journal.is_dead()).then_some(ended),
        () = journal.dies() => None,
    }
}

/// The steps of each run that were settled, by how many events it had.
fn settled(journal: &MemoryJournal) -> Result<Vec<(RunId, usize, Vec<String>)>, Crashing> {
    let mut found = Vec::new();
    for summary in known(journal)? {
        let events = journal.load(&summary.run).wait()?;
        let state = RunState::fold(&events).map_err(|error| Crashing::Record { message: error.to_string() })?;
        let steps = state.iter().flat_map(|state| state.plan().steps.iter().zip(state.steps()));
        let steps = steps.filter(|(_, step)| step.status().is_settled()).map(|(info, _)| info.id.clone());
        found.push((summary.run, events.len(), steps.collect()));
    }
    Ok(found)
}

fn known(journal: &MemoryJournal) -> Result<Vec<RunSummary>, Crashing> {
    Ok(journal.list(&RunQuery::all().with_nested()).wait()?)
}

/// Whether no settled step ran again, and all that was recorded is legal.
fn check_record(journal: &MemoryJournal, before: Vec<(RunId, usize, Vec<String>)>) -> Result<(), Crashing> {
    for summary in known(journal)? {
        let events = journal.load(&summary.run).wait()?;
        RunState::fold(&events).map_err(|error| Crashing::Record { message: error.to_string() })?;
        let Some((_, known, steps)) = before.iter().find(|(run, ..)| *run == summary.run) else { continue };
        let started = |event: &Event| match &event.kind {
            Kind::StepStart(start) => steps.iter().find(|step| start.step == step.as_str()).cloned(),
            _ => None,
        };
        if let Some(step) = events.iter().skip(*known).find_map(started) {
            return Err(Crashing::RanAgain { step });
        }
    }
    Ok(())
}

/// A journal whose process dies with one of its writes.
#[derive(Clone)]
struct Mortal {
    kept: MemoryJournal,
    death: Option<Death>,
    writes: Arc<AtomicUsize>,
    is_dead: Arc<AtomicBool>,
    died: Arc<Notify>,
}

impl Mortal {
    fn new(death: Option<Death>) -> Self {
        let (writes, is_dead, died) = Default::default();
        Self { kept: MemoryJournal::new(), death, writes, is_dead, died }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Acquire)
    }

    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
        // For one who listens later too.
        self.died.notify_one();
    }

    async fn dies(&self) {
        self.died.notified().await;
    }
}

impl Journal for Mortal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        self.kept.claim(claim)
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        if self.is_dead() {
            return Reply::ready(Err(JournalError::Closed));
        }
        let reply = self.kept.append(append);
        if append.events.is_empty() {
            return reply;
        }
        let write = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        match self.death.filter(|death| death.write == write) {
            None => reply,
            Some(death) => {
                self.die();
                if death.learns { reply } else { Reply::ready(Err(JournalError::Closed)) }
            }
        }
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        if self.is_dead() { Reply::ready(Ok(())) } else { self.kept.release(lease) }
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.kept.load(run)
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.kept.list(query)
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.kept.abandon(run, why)
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.kept.prune(before)
    }
}

/// What is wrong with a run that went on after a crash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Crashing {
    /// A step that was settled ran again.
    #[error("`{step}` was settled and ran again")]
    RanAgain {
        /// The step.
        step: String,
    },
    /// The run ended otherwise than the one without a crash.
    #[error("the run ended as {found}, without a crash as {expected}")]
    Ended {
        /// How it ends without a crash.
        expected: RunStatus,
        /// How it ended.
        found: RunStatus,
    },
    /// A step ended otherwise than without a crash.
    #[error("`{step}` ended otherwise than without a crash")]
    Step {
        /// The step.
        step: String,
    },
    /// The run did not even begin.
    #[error("the run did not begin: {message}")]
    NoRun {
        /// Why.
        message: String,
    },
    /// What was recorded is no legal run.
    #[error("the record is no legal run: {message}")]
    Record {
        /// Why.
        message: String,
    },
    /// The run that went on did not end.
    #[error("the run that went on did not end")]
    Hangs,
    /// The journal failed by itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What [`crash_everywhere`] went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crashed {
    writes: usize,
}

impl Crashed {
    /// How many writes to the journal a run without a crash makes; at each of them the process died twice.
    pub fn writes(&self) -> usize {
        self.writes
    }
}

/// Why [`crash_everywhere`] did not come to its end.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CrashError {
    /// The run did not go as it had to.
    #[error("{}: {crashing}", place(.death.as_ref()))]
    Mismatch {
        /// When the process died, where it did.
        death: Option<Death>,
        /// What is wrong.
        crashing: Crashing,
    },
    /// Nothing was run.
    #[error("{}: nothing was run; call `crash.run(..).await?`", place(.death.as_ref()))]
    NotRun {
        /// When the process was to die.
        death: Option<Death>,
    },
    /// The case panicked, for one because an assertion does not hold. The panic's text was printed when it happened.
    #[error("{}: it panicked", place(.death.as_ref()))]
    Panicked {
        /// When the process died, where it did.
        death: Option<Death>,
    },
    /// The case took too long.
    #[error("{}: it took longer than {limit:?}", place(.death.as_ref()))]
    TooLong {
        /// When the process died, where it did.
        death: Option<Death>,
        /// How long it may take.
        limit: Duration,
    },
}

fn place(death: Option<&Death>) -> String {
    death.map_or_else(|| "without a crash".to_owned(), Death::to_string)
}

/// Its text: what a test ends with that unwraps it.
impl fmt::Debug for CrashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
