//! What is read, by connections of its own: readers wait for no writer.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use super::list::list;
use super::load::load;
use super::queue::{Job, Queue};
use super::server::Server;
use crate::event::Event;
use crate::journal::{Answer, Claimed, JournalError, Lease, Reply, RunQuery, RunSummary};
use crate::run_id::RunId;

pub(super) enum Read {
    Load(RunId, Answer<Vec<Event>>),
    /// With where the lease came from.
    Claimed(Lease, Arc<Queue>, Answer<Claimed>),
    List(Box<RunQuery>, Answer<Vec<RunSummary>>),
}

/// Where reads are asked for.
#[derive(Clone)]
pub(super) struct Reads(pub(super) UnboundedSender<Read>);

impl Reads {
    pub(super) fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.ask(|answer| Read::Load(run.clone(), answer))
    }

    pub(super) fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.ask(|answer| Read::List(Box::new(query.clone()), answer))
    }

    /// Loads a run that was claimed, and answers the claim.
    pub(super) fn load_claimed(&self, lease: Lease, queue: Arc<Queue>, answer: Answer<Claimed>) {
        // Where nobody reads any more, the answer goes, which says so.
        let _ = self.0.send(Read::Claimed(lease, queue, answer));
    }

    fn ask<T>(&self, read: impl FnOnce(Answer<T>) -> Read) -> Reply<T> {
        let (answer, reply) = Reply::later();
        let _ = self.0.send(read(answer));
        reply
    }
}

/// Reads until nobody asks any more, as much at once as there are connections.
pub(super) async fn serve(server: Server, name: Arc<str>, mut reads: UnboundedReceiver<Read>) {
    let mut tasks = JoinSet::new();
    while let Some(read) = reads.recv().await {
        tasks.spawn_local(answer(server.clone(), name.clone(), read));
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

async fn answer(server: Server, name: Arc<str>, read: Read) {
    match read {
        Read::Load(run, answer) => answer.send(load_run(&server, &run).await),
        Read::List(query, answer) => {
            let found = server.patiently(async |client, this| list(client, this, &query).await).await;
            answer.send(found.map_err(|fault| fault.of_all(&name)));
        }
        Read::Claimed(lease, queue, answer) => match load_run(&server, &lease.run).await {
            Ok(events) => answer.send(Ok(Claimed::new(lease, events))),
            Err(error) => {
                // Before the claim is answered: then it can be abandoned.
                let (released, reply) = Reply::later();
                queue.push_from_within(Job::Release(lease, released));
                drop(reply.await);
                answer.send(Err(error));
            }
        },
    }
}

async fn load_run(server: &Server, run: &RunId) -> Result<Vec<Event>, JournalError> {
    // No run has such an id, since none can be claimed by it.
    if run.to_string().contains('\0') {
        return Ok(Vec::new());
    }
    server.patiently(async |client, this| load(client, this, run).await).await.map_err(|fault| fault.of_reading(run))
}
