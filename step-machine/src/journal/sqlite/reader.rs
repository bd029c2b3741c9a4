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
use super::queue::Queue;
use super::{SqliteOptions, connect, join_thread};
use crate::event::Event;
use crate::journal::{Answer, Claimed, JournalError, Lease, Reply, RunQuery, RunSummary, Waiting};
use crate::run_id::RunId;
use crate::sync::lock;

enum Read {
    Load(RunId, Answer<Vec<Event>>),
    Claimed(Lease, Answer<Claimed>),
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
    thread: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One that is there already, where the file was opened only to read.
    connection: Option<Connection>,
    running: Option<(Sender<Read>, JoinHandle<()>)>,
    is_closed: bool,
}

impl Reads {
    pub(super) fn new(
        path: PathBuf,
        options: SqliteOptions,
        queue: Weak<Queue>,
        connection: Option<Connection>,
    ) -> Self {
        let thread = Mutex::new(State { connection, ..State::default() });
        Self { shared: Arc::new(Shared { path, options, queue, thread }) }
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

    /// Answers a claim once the events are read.
    pub(super) fn load_claimed(&self, lease: Lease, answer: Answer<Claimed>) {
        if let Err(error) = self.send(Read::Claimed(lease, answer)) {
            // The answer is gone with what could not be sent; whoever waits learns that the journal is closed.
            drop(error);
        }
    }

    fn ask<T>(&self, read: impl FnOnce(Answer<T>) -> Read) -> Reply<T> {
        let (answer, reply) = Reply::later();
        match self.send(read(answer)) {
            Ok(()) => reply,
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn send(&self, read: Read) -> Result<(), JournalError> {
        let mut state = lock(&self.shared.thread);
        if state.is_closed {
            return Err(JournalError::Closed);
        }
        if state.running.is_none() {
            let (sender, reads) = channel();
            let mut reader = Reader { shared: Arc::downgrade(&self.shared), connection: state.connection.take() };
            let thread = std::thread::Builder::new()
                .name("journal-reader".to_owned())
                .spawn(move || reader.serve(&reads))
                .map_err(|error| unusable(&self.shared.path, "no thread could be started", Box::new(error)))?;
            state.running = Some((sender, thread));
        }
        match &state.running {
            Some((sender, _)) => sender.send(read).map_err(|_| JournalError::Closed),
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

struct Reader {
    shared: Weak<Shared>,
    connection: Option<Connection>,
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
            Read::Load(run, answer) => answer.send(self.connected(shared, |connection| load(connection, &run))),
            Read::List(query, answer) => {
                answer.send(self.connected(shared, |connection| list(connection, &shared.path, &query)));
            }
            Read::Check(answer) => answer.send(self.connected(shared, |connection| check(connection, &shared.path))),
            Read::Claimed(lease, answer) => match self.connected(shared, |connection| load(connection, &lease.run)) {
                Ok(events) => answer.send(Ok(Claimed::new(lease, events))),
                Err(error) => {
                    give_back(shared, lease);
                    answer.send(Err(error));
                }
            },
        }
    }

    fn connected<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.connection.is_none() {
            self.connection = Some(connect::to_read(&shared.path, &shared.options)?);
        }
        self.connection.as_mut().map_or(Err(JournalError::Closed), work)
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
