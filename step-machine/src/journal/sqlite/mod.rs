//! A journal in one file, by SQLite.

mod alone;
mod check;
mod claims;
mod connect;
mod error;
mod job;
mod list;
mod load;
mod log;
mod options;
mod owner;
mod places;
mod prune;
mod queue;
mod reader;
mod rows;
mod still;
mod wait;
mod wal;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::SystemTime;

pub use check::Finding;
pub use options::{SqliteOptions, Synchronous};

use self::error::unusable;
use self::job::Job;
use self::prune::Pruning;
use self::queue::Queue;
use self::reader::Reads;
use self::writer::Writer;
use super::appended::Appended;
use super::{Answer, Append, Claim, Claimed, Journal, JournalError, Lease, Reply, RunQuery, RunSummary, Waiting};
use crate::event::Event;
use crate::run_id::RunId;
use crate::sync::lock;

/// A journal in one file, which survives crashes and power losses, and which several processes may use at once.
///
/// What it has of each run can be looked at with plain SQL: the views `runs`, `steps` and `events` are made for that.
/// The claim and the commits of the only run that is driven are done on the thread that drives it, also where that is
/// one of an async runtime, which waits for the disk meanwhile: it takes less than going to another thread and back. With
/// several runs a thread of the journal writes for all; and also for one of a runtime as long as another process holds the
/// lock of the file, so that the other tasks go on.
///
/// Clones share one connection; the last one that goes waits until all that was asked for is done.
///
/// While a journal drives runs it holds a locked file in the folder `<file>-owners`, next to the database: by that
/// others see whether it lives, also after a crash, without any time-out. Database and folder have to be on a file
/// system of this machine, as SQLite asks for anyway. A process that forks without starting another program, as a daemon
/// does, opens the journal after that: a child that has it open, too, would seem to be its parent for as long as it lives.
///
/// # Examples
///
/// ```
/// use step_machine::{SqliteJournal, Workflow};
///
/// #[derive(Workflow)]
/// enum Release {
///     Build,
///     Publish,
/// }
/// use release::*;
///
/// # let dir = std::env::temp_dir().join(format!("step-machine-release-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("runs.db");
/// let journal = SqliteJournal::open(&path)?;
/// let run = Release::machine().id("v1").journal(journal.clone()).begin()?;
/// let run = run.step(Build, |_| Ok::<(), std::io::Error>(()))?;
/// # let finished =
/// run.step(Publish, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # drop((finished, journal));
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteJournal {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    reads: Reads,
    /// None where the file was opened only to read.
    writing: Option<Writing>,
}

struct Writing {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteJournal {
    /// Opens the file, and makes it where it is not there yet. Takes no longer for a large one; what stands in its
    /// write-ahead log is read, usually 4 MiB at most.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`], with what to do about it, where the file cannot be opened or written, is no journal,
    /// was written by a newer version of this crate, or where its write-ahead log is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::options().open(path)
    }

    /// Opens a file that is there, for a tool that only looks: it can load and list, and anything else fails. The file and
    /// its directory need not be writable.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::options().open_read_only(path)
    }

    /// How the file is opened, where the defaults do not fit.
    pub fn options() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// Looks through the whole file, and gives all that is wrong with it, run by run. Reads everything, so it takes
    /// long where there is much.
    ///
    /// # Examples
    ///
    /// ```
    /// # use step_machine::SqliteJournal;
    /// # let dir = std::env::temp_dir().join(format!("step-machine-check-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let journal = SqliteJournal::open(dir.join("check.db"))?;
    /// for finding in journal.check().wait()? {
    ///     println!("{finding}");
    /// }
    /// # drop(journal);
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Reply<Vec<Finding>> {
        self.inner.reads.check()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn open_with(path: &Path, options: &SqliteOptions) -> Result<Self, JournalError> {
        let path = absolute(path)?;
        let connection = connect::to_write(&path, options)?;
        let queue = Arc::new_cyclic(|queue| {
            let reads = Reads::new(path.clone(), options.clone(), queue.clone(), None);
            Queue::new(Writer::new(connection, path.clone(), reads.clone(), options), reads)
        });
        let served = queue.clone();
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || served.serve())
            .map_err(|error| unusable(&path, "no thread could be started", Box::new(error)))?;
        let reads = queue.reads().clone();
        let writing = Some(Writing { queue, thread: Mutex::new(Some(thread)) });
        Ok(Self { inner: Arc::new(Inner { path, reads, writing }) })
    }

    fn look_with(path: &Path, options: &SqliteOptions) -> Result<Self, JournalError> {
        let path = absolute(path)?;
        let opened = connect::only_to_read(&path, options)?;
        let reads = Reads::new(path.clone(), options.clone(), Weak::new(), Some(opened));
        Ok(Self { inner: Arc::new(Inner { path, reads, writing: None }) })
    }

    /// Asks the writer.
    fn ask<T>(&self, by: Waiting, job: impl FnOnce(Answer<T>) -> Job) -> Reply<T> {
        let Some(writing) = &self.inner.writing else {
            let advice = "open it with `open`, not with `open_read_only`";
            return Reply::ready(Err(unusable(&self.inner.path, advice, "it was opened only to read".into())));
        };
        let (answer, reply) = Reply::later();
        writing.queue.push(job(answer), by);
        reply
    }
}

/// A later change of the working directory does not matter, and no name has a meaning of its own.
fn absolute(path: &Path) -> Result<PathBuf, JournalError> {
    std::path::absolute(path).map_err(|error| unusable(path, "name a file", Box::new(error)))
}

/// What stands next to a database under its name and this end: next to the file that links lead to. SQLite puts its own
/// files there, and who comes by another path is to see that a run is driven.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned()).into_os_string();
    path.push(end);
    path.into()
}

/// Waits for a thread of ours, unless it is this one.
fn join_thread(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() {
        // One that panicked has said so.
        let _ = thread.join();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.queue.close();
            if let Some(thread) = lock(&writing.thread).take() {
                join_thread(thread);
            }
        }
        self.reads.close();
    }
}

impl Journal for SqliteJournal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        // It waits for no disk, or as an append does.
        self.ask(Waiting::Task, |answer| Job::Claim(claim.clone(), answer))
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        self.ask(append.waiting, |answer| Job::Append(Box::new(Appended::new(append)), answer))
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        self.ask(Waiting::Nobody, |answer| Job::Release(lease.clone(), answer))
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.inner.reads.load(run)
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.inner.reads.list(query)
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.ask(Waiting::Nobody, |answer| Job::Abandon(run.clone(), why.to_owned(), answer))
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.ask(Waiting::Nobody, |answer| Job::Prune(Pruning::of(before), answer))
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
