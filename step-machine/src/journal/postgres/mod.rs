//! A journal in a PostgreSQL database.

mod append;
mod claims;
mod connect;
mod error;
mod list;
mod load;
mod migrate;
mod options;
mod prune;
mod queue;
mod reader;
mod server;
mod session;
#[cfg(feature = "postgres-tls")]
mod tls;
mod values;
mod writer;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

pub use options::PostgresOptions;

use self::connect::Target;
use self::error::{Fault, Trouble, unusable};
use self::queue::{Job, Queue};
use self::reader::Reads;
use self::server::Server;
use self::session::Session;
use self::writer::Writer;
use super::appended::Appended;
use super::{Answer, Append, Claim, Claimed, Journal, JournalError, Lease, Reply, RunQuery, RunSummary};
use crate::event::Event;
use crate::run_id::RunId;
use crate::sync::lock;

/// So many runs are read at once.
const READERS: usize = 4;

/// The tables are made within so long.
const MAKING: Duration = Duration::from_secs(60);

/// A journal in a PostgreSQL database, which many processes on many machines may use at once.
///
/// What it has of each run can be looked at with plain SQL: the views `runs`, `steps` and `events` are made for that.
/// Clones share its connections; the last one that goes waits until all that was asked for is done. It has a thread
/// of its own, so it works with any runtime and without one.
///
/// While a journal drives runs, one session of it holds a lock in the database. The lock goes with that session, and so
/// others see at once that a process has died and may take its runs over; one that hangs keeps them. A machine that
/// vanished counts as dead after about a minute. A session that is lost, say because the server was restarted, is begun
/// again; who claims a run before that has it, and the former owner's next write fails with
/// [`JournalError::TakenOver`]. A session needs a connection for itself: a pool in between must not
/// share one connection between several clients for one transaction each.
///
/// When the server goes away, runs stand still and go on once it is back; see [`PostgresOptions::patience`].
///
/// # Examples
///
/// ```no_run
/// use step_machine::{PostgresJournal, Workflow};
///
/// #[derive(Workflow)]
/// enum Release {
///     Build,
///     Publish,
/// }
/// use release::*;
///
/// let journal = PostgresJournal::open("postgres://deploy@localhost/deployments").wait()?;
/// let run = Release::machine().id("v1").journal(journal).begin()?;
/// let run = run.step(Build, |_| Ok::<(), std::io::Error>(()))?;
/// run.step(Publish, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PostgresJournal {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    queues: Vec<Arc<Queue>>,
    /// `None` once it is closed.
    reads: Mutex<Option<Reads>>,
    thread: ThreadId,
    /// Hears of the thread's end.
    done: Mutex<Receiver<()>>,
}

impl PostgresJournal {
    /// Opens the journal in the database that `url` names, `postgres://user:password@host:port/database`, and makes the
    /// tables where they are not there yet. Await the reply, or wait for it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`], with what to do about it, where the server cannot be reached or does not let the user
    /// in, where the tables cannot be made, or where a newer version of this crate made them.
    pub fn open(url: &str) -> Reply<Self> {
        Self::options().open(url)
    }

    /// How the journal is opened, where the defaults do not fit.
    pub fn options() -> PostgresOptions {
        PostgresOptions::default()
    }

    fn open_with(url: &str, options: PostgresOptions) -> Reply<Self> {
        let (patience, writers) = (options.patience, options.writers);
        let target = match Target::new(url, options) {
            Ok(target) => target,
            Err(error) => return Reply::ready(Err(error)),
        };
        let (answer, reply) = Reply::later();
        let name = target.name.clone();
        let work = move || work(target, patience, writers, answer);
        match std::thread::Builder::new().name("journal-postgres".to_owned()).spawn(work) {
            Ok(_) => reply,
            Err(error) => Reply::ready(Err(unusable(&name, "no thread could be started", Box::new(error)))),
        }
    }

    /// Asks the writer of the run.
    fn ask<T>(&self, run: &RunId, job: impl FnOnce(Answer<T>) -> Job) -> Reply<T> {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        let writers = u64::try_from(self.inner.queues.len()).unwrap_or(1);
        let place = usize::try_from(hasher.finish() % writers).unwrap_or(0);
        self.ask_writer(place, job)
    }

    fn ask_writer<T>(&self, place: usize, job: impl FnOnce(Answer<T>) -> Job) -> Reply<T> {
        let (answer, reply) = Reply::later();
        if let Some(queue) = self.inner.queues.get(place) {
            queue.push(job(answer));
        }
        reply
    }

    fn read<T>(&self, ask: impl FnOnce(&Reads) -> Reply<T>) -> Reply<T> {
        lock(&self.inner.reads).as_ref().map_or_else(|| Reply::ready(Err(JournalError::Closed)), ask)
    }
}

/// What the thread of a journal does.
fn work(target: Target, patience: Duration, writers: usize, answer: Answer<PostgresJournal>) {
    match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => LocalSet::new().block_on(&runtime, serve(target, patience, writers, answer)),
        Err(error) => answer.send(Err(unusable(&target.name, "no runtime could be started", Box::new(error)))),
    }
}

async fn serve(target: Target, patience: Duration, writers: usize, answer: Answer<PostgresJournal>) {
    let opened = match open(&target, patience, writers).await {
        Ok(opened) => opened,
        Err(error) => return answer.send(Err(error)),
    };
    let [for_writers, for_readers] = opened;
    let name: Arc<str> = target.name.as_str().into();
    let session = Session::new(target);
    let (sender, reads) = unbounded_channel();
    let queues: Vec<Arc<Queue>> = std::iter::repeat_with(Arc::default).take(writers).collect();
    let leases = Rc::default();
    let mut tasks = JoinSet::new();
    for queue in &queues {
        let (server, reads) = (for_writers.clone(), Reads(sender.clone()));
        let writer = Writer::new(name.clone(), server, session.clone(), queue.clone(), reads, Rc::clone(&leases));
        tasks.spawn_local(writer.serve());
    }
    tasks.spawn_local(reader::serve(for_readers, name.clone(), reads));
    // Dropped at the end, however it comes.
    let (_done, done) = channel();
    answer.send(Ok(PostgresJournal { inner: Arc::new(Inner::new(name, queues, Reads(sender), done)) }));
    while tasks.join_next().await.is_some() {}
    session.close().await;
}

/// Makes the tables, and the connections of those who write and those who read.
async fn open(target: &Target, patience: Duration, writers: usize) -> Result<[Server; 2], JournalError> {
    let [for_writers, for_readers] = [Server::new(target, writers, patience)?, Server::new(target, READERS, patience)?];
    let mut client = for_writers.impatient().client().await.map_err(|fault| fault.of_all(&target.name))?;
    let silent = |_| Err(Fault::Store(Trouble::Silent(MAKING)).of_all(&target.name));
    timeout(MAKING, migrate::migrate(target, &mut client)).await.unwrap_or_else(silent)?;
    Ok([for_writers, for_readers])
}

impl Inner {
    fn new(name: Arc<str>, queues: Vec<Arc<Queue>>, reads: Reads, done: Receiver<()>) -> Self {
        let thread = std::thread::current().id();
        Self { name, queues, reads: Mutex::new(Some(reads)), thread, done: Mutex::new(done) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.close();
        }
        drop(lock(&self.reads).take());
        // The thread drops it itself where nobody waited for it to be opened.
        if std::thread::current().id() != self.thread {
            let _ = lock(&self.done).recv();
        }
    }
}

impl Journal for PostgresJournal {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        self.ask(&claim.run, |answer| Job::Claim(claim.clone(), answer))
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        self.ask(&append.lease.run, |answer| Job::Append(Box::new(Appended::new(append)), answer))
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        self.ask(&lease.run, |answer| Job::Release(lease.clone(), answer))
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.read(|reads| reads.load(run))
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.read(|reads| reads.list(query))
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.ask(run, |answer| Job::Abandon(run.clone(), why.to_owned(), answer))
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.ask_writer(0, |answer| Job::Prune(before, answer))
    }
}

impl fmt::Debug for PostgresJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresJournal").field("journal", &self.inner.name).finish_non_exhaustive()
    }
}
