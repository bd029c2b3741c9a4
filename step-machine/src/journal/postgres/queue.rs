//! What waits for a writer.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::journal::appended::Appended;
use crate::journal::{Answer, Claim, Claimed, Lease};
use crate::run_id::RunId;
use crate::sync::lock;

/// So much may wait; whoever brings more waits for room, so that news which nobody waits for cannot fill the memory.
const MOST_JOBS: usize = 16_384;
const MOST_BYTES: usize = 32 << 20;

pub(super) enum Job {
    Append(Box<Appended>, Answer<()>),
    Claim(Claim, Answer<Claimed>),
    Release(Lease, Answer<()>),
    Abandon(RunId, String, Answer<()>),
    Prune(SystemTime, Answer<usize>),
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Append(append, _) => append.body.len(),
            _ => 0,
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Jobs>,
    /// There is something to do, or nothing any more ever.
    work: Notify,
    room: Condvar,
}

#[derive(Default)]
struct Jobs {
    list: Vec<Job>,
    bytes: usize,
    is_closed: bool,
}

impl Jobs {
    fn is_full(&self) -> bool {
        self.list.len() >= MOST_JOBS || self.bytes >= MOST_BYTES
    }
}

impl Queue {
    /// Asks the writer for something. Where the queue is closed, the job's answer says so.
    pub(super) fn push(&self, job: Job) {
        let mut waiting = lock(&self.waiting);
        while waiting.is_full() && !waiting.is_closed {
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        self.put(waiting, job);
    }

    /// The same from the thread of the writers, which must not wait for itself.
    pub(super) fn push_from_within(&self, job: Job) {
        self.put(lock(&self.waiting), job);
    }

    fn put(&self, mut waiting: std::sync::MutexGuard<'_, Jobs>, job: Job) {
        if waiting.is_closed {
            // Out of the lock: the answer goes with the job.
            drop(waiting);
            return;
        }
        waiting.bytes += job.size();
        waiting.list.push(job);
        drop(waiting);
        self.work.notify_one();
    }

    /// All that waits, as soon as there is any; `None` once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Vec<Job>> {
        loop {
            // Made before the look, so that what comes after it wakes.
            let work = self.work.notified();
            {
                let mut waiting = lock(&self.waiting);
                if !waiting.list.is_empty() {
                    waiting.bytes = 0;
                    self.room.notify_all();
                    return Some(std::mem::take(&mut waiting.list));
                }
                if waiting.is_closed {
                    return None;
                }
            }
            work.await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.waiting).is_closed
    }

    /// Takes nothing more; what waits is still done.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.work.notify_one();
        self.room.notify_all();
    }
}

/// Closes a queue with the writer, where that one ends early: nobody would be answered any more.
pub(super) struct Closing<'a>(pub(super) &'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Out of the lock: whoever waits for an answer learns that there will be none.
        let left = std::mem::take(&mut lock(&self.0.waiting).list);
        drop(left);
    }
}
