//! What is read, by a thread and a connection of its own: readers wait for no writer, and no task for the disk.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::check::{Finding, check};
use super::error::unusable;
use super::job::Job;
use super::list::list;
use super::load::load;
use super::places::Behind;
use super::queue::Queue;
use super::still::Still;
use super::{SqliteOptions, connect, join_thread};
use crate::event::Event;
use crate::journal::{Answer, Claimed, JournalError, Lease, Reply, RunQuery, RunSummary, Waiting};
use crate::run_id::RunId;
use crate::sync::lock;

enum Read {
    Load(RunId, Answer<Vec<Event>>),
    /// With whether it was given back before.
    Claimed(Lease, bool, Answer<Claimed>),
    List(Box<RunQuery>, Answer<Vec<RunSummary>>),
    Check(Answer<Vec<Finding>>),
}

/// Where reads are asked for. The thread begins with the first of them.
#[derive(Clone)]
pub(super) struct Reads {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    options: SqliteOptions,
    /// To give back what was claimed and cannot be read.
    queue: Weak<Queue>,
    /// Nobody writes from here.
    only_reads: bool,
    thread: Mutex<State>,
}

/// A connection, with how the file stood where it is read alone.
type Opened = (Connection, Option<Still>);

#[derive(Default)]
struct State {
    /// One that is there already, where the file was opened only to read.
    opened: Option<Opened>,
    running: Option<(Sender<Read>, JoinHandle<()>)>,
    is_closed: bool,
}

impl Reads {
    pub(super) fn new(path: PathBuf, options: SqliteOptions, queue: Weak<Queue>, opened: Option<Opened>) -> Self {
        let only_reads = opened.is_some();
        let thread = Mutex::new(State { opened, ..State::default() });
        Self { shared: Arc::new(Shared { path, options, queue, only_reads, thread }) }
    }

    pub(super) fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.ask(|answer| Read::Load(run.clone(), answer))
    }

    pub(super) fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.ask(|answer| Read::List(Box::new(query.clone()), answer))
    }

    pub(super) fn check(&self) -> Reply<Vec<Finding>> {
        self.ask(Read::Check)
    }

    /// Answers a claim once the events are read. Where nobody can read them, gives what is left to do: the run goes back.
    pub(super) fn load_claimed(&self, lease: Lease, was_given_back: bool, answer: Answer<Claimed>) -> Option<Job> {
        let is_asked = match self.sender() {
            // What is not taken goes with its answer, which says so.
            Ok(sender) => sender.send(Read::Claimed(lease.clone(), was_given_back, answer)).is_ok(),
            Err(error) => {
                answer.send(Err(error));
                false
            }
        };
        (!is_asked).then(|| Job::Release(lease, Reply::later().0))
    }

    fn ask<T>(&self, read: impl FnOnce(Answer<T>) -> Read) -> Reply<T> {
        let (answer, reply) = Reply::later();
        match self.send(read(answer)) {
            Ok(()) => reply,
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn send(&self, read: Read) -> Result<(), JournalError> {
        self.sender()?.send(read).map_err(|_| JournalError::Closed)
    }

    /// To the thread, which begins where it has not yet.
    fn sender(&self) -> Result<Sender<Read>, JournalError> {
        let mut state = lock(&self.shared.thread);
        if state.is_closed {
            return Err(JournalError::Closed);
        }
        if state.running.is_none() {
            let (sender, reads) = channel();
            let mut reader =
                Reader { shared: Arc::downgrade(&self.shared), opened: state.opened.take(), behind: Behind::default() };
            let thread = std::thread::Builder::new()
                .name("journal-reader".to_owned())
                .spawn(move || reader.serve(&reads))
                .map_err(|error| unusable(&self.shared.path, "no thread could be started", Box::new(error)))?;
            state.running = Some((sender, thread));
        }
        match &state.running {
            Some((sender, _)) => Ok(sender.clone()),
            None => Err(JournalError::Closed),
        }
    }

    /// Waits until all that was asked for is answered.
    pub(super) fn close(&self) {
        let running = {
            let mut state = lock(&self.shared.thread);
            state.is_closed = true;
            state.running.take()
        };
        if let Some((sender, thread)) = running {
            drop(sender);
            join_thread(thread);
        }
    }
}

impl Shared {
    fn open(&self) -> Result<Opened, JournalError> {
        if self.only_reads {
            connect::only_to_read(&self.path, &self.options)
        } else {
            Ok((connect::to_read(&self.path, &self.options)?, None))
        }
    }
}

struct Reader {
    shared: Weak<Shared>,
    opened: Option<Opened>,
    behind: Behind,
}

impl Reader {
    fn serve(&mut self, reads: &Receiver<Read>) {
        for read in reads {
            let Some(shared) = self.shared.upgrade() else { return };
            self.answer(read, &shared);
        }
    }

    fn answer(&mut self, read: Read, shared: &Shared) {
        match read {
            Read::Load(run, answer) => {
                answer.send(self.connected(shared, |connection, behind| load(connection, behind, &run, false)));
            }
            Read::List(query, answer) => {
                answer
                    .send(self.connected(shared, |connection, behind| list(connection, behind, &shared.path, &query)));
            }
            Read::Check(answer) => {
                answer.send(self.connected(shared, |connection, behind| check(connection, behind, &shared.path)));
            }
            Read::Claimed(lease, was_given_back, answer) => {
                match self.connected(shared, |connection, behind| load(connection, behind, &lease.run, was_given_back))
                {
                    Ok(events) => answer.send(Ok(Claimed::new(lease, events))),
                    Err(error) => {
                        give_back(shared, lease);
                        answer.send(Err(error));
                    }
                }
            }
        }
    }

    fn connected<T>(
        &mut self,
        shared: &Shared,
        work: impl Fn(&mut Connection, &mut Behind) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        self.forget_what_has_changed(shared);
        loop {
            if self.opened.is_none() {
                self.opened = Some(shared.open()?);
                self.behind = Behind::default();
            }
            let Some((connection, _)) = &mut self.opened else { return Err(JournalError::Closed) };
            let done = work(connection, &mut self.behind);
            // What was read alone counts only where nobody began to write meanwhile.
            if !self.forget_what_has_changed(shared) {
                return done;
            }
        }
    }

    /// Closes a file that is read alone where it is not any more as it was; whether that is so.
    fn forget_what_has_changed(&mut self, shared: &Shared) -> bool {
        let has_changed =
            matches!(&self.opened, Some((_, Some(still))) if Still::of(&shared.path).as_ref() != Some(still));
        if has_changed {
            self.opened = None;
        }
        has_changed
    }
}

/// Gives back a run that was claimed and cannot be read, before its claim is answered: then it can be abandoned.
fn give_back(shared: &Shared, lease: Lease) {
    if let Some(queue) = shared.queue.upgrade() {
        let (answer, reply) = Reply::later();
        queue.push(Job::Release(lease, answer), Waiting::Thread);
        drop(reply.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Append, Claim, Journal, SqliteJournal};

    #[test]
    fn a_run_that_was_claimed_and_that_nobody_can_read_is_given_back() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("step-machine-reader-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("runs.db");
        let journal = SqliteJournal::open(&path)?;
        let start = Event::from_json(
            r#"{"v":1,"run":"r","workflow":"w","seq":1,"at":"2026-01-01T00:00:00.000000Z","elapsed_ms":0.0,
            "type":"run_start","plan":{"workflow":"w","steps":[{"id":"a","name":"A"}]}}"#,
        )?;
        let lease = journal.claim(&Claim::of("r")).wait()?.lease;
        journal.append(Append::new(&lease, &[start])).wait()?;
        journal.release(&lease).wait()?;

        journal.inner.reads.close();
        assert!(matches!(journal.claim(&Claim::of("r")).wait(), Err(JournalError::Closed)));
        // Not written before what the journal had left to do.
        journal.release(&lease).wait()?;
        assert_eq!(SqliteJournal::open(&path)?.claim(&Claim::of("r")).wait()?.events.len(), 1);
        drop(journal);
        Ok(std::fs::remove_dir_all(&folder)?)
    }
}
