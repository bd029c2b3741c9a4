//! A process that dies, everywhere in turn.

mod error;
mod journal;
mod record;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

pub use self::error::{CrashError, Crashed, Crashing};
use self::journal::At;
pub use self::journal::CrashJournal;
use self::record::{Record, Settled};
use super::exhaust::{Panicked, caught};
use crate::journal::MemoryJournal;
use crate::report::{Failure, Report};
use crate::runner::{HandlerFor, Runner};
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
/// Then another process resumes the run from what the journal has; once to its end, and once until it dies too, soon
/// after its own first write, and a third one goes on. The run has to end as the one without a crash did, with each step
/// in the same status and with the same output, no step that was settled may run again unless the run without a crash asks
/// for such too (`retry_from`), and the journal has to be the record of a legal run.
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
    let whole = visit(&mut drive, None, None).await?;
    let expected = Some(Arc::new(whole.record));
    // The simpler deaths first: what they find is easier to understand.
    for again in [false, true] {
        for write in 1..=whole.writes {
            for learns in [false, true] {
                visit(&mut drive, Some(Death { write, learns, again }), expected.clone()).await?;
            }
        }
    }
    Ok(Crashed { writes: whole.writes })
}

async fn visit(
    drive: &mut impl AsyncFnMut(Crash) -> Result<(), Crashing>,
    death: Option<Death>,
    expected: Option<Arc<Record>>,
) -> Result<Seen, CrashError> {
    let seen = Arc::default();
    let crash = Crash { death, expected, varying: Vec::new(), seen: Arc::clone(&seen) };
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
    /// Whether the process that goes on dies as well, some time after its own first write.
    pub again: bool,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.learns { "some time after" } else { "right with" };
        write!(f, "where the process dies {when} write {} to the journal", self.write)?;
        if self.again { f.write_str(", and the next one after its first") } else { Ok(()) }
    }
}

/// One case of [`crash_everywhere`].
pub struct Crash {
    death: Option<Death>,
    /// What the journal said in the end without a crash.
    expected: Option<Arc<Record>>,
    /// Steps that may hand on something else each time.
    varying: Vec<String>,
    seen: Arc<Mutex<Option<Seen>>>,
}

#[derive(Debug)]
struct Seen {
    writes: usize,
    record: Record,
}

impl Crash {
    /// When the process dies; in the first case it does not.
    pub fn death(&self) -> Option<Death> {
        self.death
    }

    /// Lets `step` hand on something else each time it runs, a time or a port for one; otherwise its output has to be
    /// the same with and without a crash. Secret outputs are not compared.
    #[must_use = "it is the case that is returned which lets the step vary"]
    pub fn may_vary<W: Workflow>(mut self, step: W) -> Self {
        self.varying.push(step.id().to_owned());
        self
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
        let live = async |journal: CrashJournal| {
            let run = make();
            let run = if run.opening.id.is_some() { run } else { run.id("crash-everywhere") };
            run.journal(journal).await
        };
        self.live(live, |ended| ended.as_ref().err().map(ToString::to_string).unwrap_or_default()).await
    }

    /// Runs `live` until the process dies, and again from what is left, to the end. Gives what that came to. For the
    /// typed machine, and for whatever else a process does with its runs.
    ///
    /// `live` is called once for each process, with its journal. Its runs need ids that are the same each time. The
    /// process dies where it waits, or else all writes to its journal fail from there on: then `live` has to return,
    /// and what it returns is thrown away.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::testing::{self, Crash};
    /// use step_machine::{Failure, Workflow};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     #[step(output = u16)]
    ///     Start,
    ///     Check,
    /// }
    /// use deploy::*;
    ///
    /// fn run(machine: step_machine::MachineBuilder<Deploy>) -> Result<(), Failure<Deploy, std::io::Error>> {
    ///     let (run, _port) = machine.begin()?.step(Start, |_| Ok(8080))?;
    ///     run.step(Check, |_| Ok(()))?.finish()?;
    ///     Ok(())
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let crashed = testing::crash_everywhere(async |crash: Crash| {
    ///     let ended = crash.drive(async |journal| run(Deploy::machine().id("web").journal(journal))).await?;
    ///     assert!(ended.is_ok());
    ///     Ok(())
    /// });
    /// assert!(crashed.await.unwrap().writes() > 4);
    /// # });
    /// ```
    pub async fn drive<T>(&self, live: impl AsyncFnMut(CrashJournal) -> T) -> Result<T, Crashing> {
        let message = |_: &T| {
            "its process had a journal, and no run is in it; `.journal(journal)` and `.id(..)` set both".to_owned()
        };
        self.live(live, message).await
    }

    async fn live<T>(
        &self,
        mut live: impl AsyncFnMut(CrashJournal) -> T,
        why_none: impl FnOnce(&T) -> String,
    ) -> Result<T, Crashing> {
        let mut deaths = self.death.into_iter().flat_map(Death::deaths);
        let mut journal = CrashJournal::new(MemoryJournal::new(), deaths.next());
        let (mut crashed, first) = (Vec::new(), journal.clone());
        let ended = loop {
            if let Some(ended) = life(&journal, &mut live).await {
                break ended;
            }
            let left = journal.kept.after_crash();
            crashed.push(Settled::of(&left)?);
            journal = CrashJournal::new(left, deaths.next());
        };
        let record = Record::of(&journal.kept)?;
        if record.is_empty() {
            return Err(Crashing::NoRun { message: why_none(&ended) });
        }
        if let Some(expected) = &self.expected {
            expected.compare(&record, &self.varying)?;
        }
        for settled in crashed {
            settled.check(&journal.kept, self.expected.as_ref().is_some_and(|expected| expected.has_again))?;
        }
        *lock(&self.seen) = Some(Seen { writes: first.writes(), record });
        Ok(ended)
    }
}

impl Death {
    /// The deaths of one process after the other.
    fn deaths(self) -> impl Iterator<Item = At> {
        let first = At { write: self.write, learns: self.learns };
        [Some(first), self.again.then_some(At { write: 1, learns: true })].into_iter().flatten()
    }
}

/// One process: what it ended with, or nothing where it died.
async fn life<T>(journal: &CrashJournal, live: &mut impl AsyncFnMut(CrashJournal) -> T) -> Option<T> {
    let mut run = pin!(live(journal.clone()));
    let mut dies = pin!(journal.dies());
    poll_fn(|context| {
        // What can go on does, until it waits.
        if let Poll::Ready(ended) = run.as_mut().poll(context) {
            return Poll::Ready((!journal.is_dead()).then_some(ended));
        }
        dies.as_mut().poll(context).map(|()| None)
    })
    .await
}
