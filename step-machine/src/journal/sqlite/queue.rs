//! What waits for the one writer, and whose turn it is to write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::job::Job;
use super::reader::Reads;
use super::writer::Writer;
use crate::journal::Waiting;
use crate::sync::lock;

/// So much may wait; whoever brings more waits for room, so that news which nobody waits for cannot fill the memory.
const MOST_JOBS: usize = 16_384;
const MOST_BYTES: usize = 32 << 20;

/// After so long a lease that could not be given back is tried again, where nobody writes; each time twice as long, up to
/// the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Queue {
    waiting: Mutex<Jobs>,
    /// There is something to do, or nothing any more ever.
    work: Condvar,
    room: Condvar,
    writer: Mutex<Writer>,
    /// How many runs are driven here.
    leases: AtomicUsize,
    /// There are leases that could not be given back.
    is_late: AtomicBool,
    reads: Reads,
}

#[derive(Default)]
struct Jobs {
    list: Vec<Job>,
    bytes: usize,
    /// Somebody writes.
    is_busy: bool,
    is_closed: bool,
}

impl Jobs {
    fn is_full(&self) -> bool {
        self.list.len() >= MOST_JOBS || self.bytes >= MOST_BYTES
    }
}

impl Queue {
    pub(super) fn new(writer: Writer, reads: Reads) -> Self {
        Self {
            waiting: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            writer: Mutex::new(writer),
            leases: AtomicUsize::new(0),
            is_late: AtomicBool::new(false),
            reads,
        }
    }

    pub(super) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Asks the writer for something. One that its thread waits for is written by that thread itself, where nobody
    /// else is about to: that saves two changes of threads. So is one that a task waits for whose run is the only one:
    /// nothing would be committed together with it; but no task waits so for another process. Where the queue is closed, the
    /// job's answer says so.
    pub(super) fn push(&self, job: Job, by: Waiting) {
        let is_alone = || self.leases.load(Ordering::Relaxed) <= 1;
        let is_waited_for = by == Waiting::Thread || (by == Waiting::Task && is_alone());
        let mut waiting = lock(&self.waiting);
        while waiting.is_full() && !waiting.is_closed {
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.is_closed {
            return;
        }
        if is_waited_for && waiting.list.is_empty() && !waiting.is_busy {
            waiting.is_busy = true;
            drop(waiting);
            self.write(vec![job], by == Waiting::Thread);
            return;
        }
        waiting.bytes += job.size();
        waiting.list.push(job);
        if !waiting.is_busy {
            self.work.notify_one();
        }
    }

    /// What the thread of the writer does until the queue is closed and empty.
    pub(super) fn serve(&self) {
        let _closed = Closing(self);
        let mut pause = FIRST_PAUSE;
        while let Some(jobs) = self.next(pause) {
            pause = if jobs.is_empty() { LONGEST_PAUSE.min(pause * 2) } else { FIRST_PAUSE };
            self.write(jobs, true);
        }
        lock(&self.writer).close();
    }

    /// All that waits, as soon as there is any; nothing after a pause, where only what is late is to be tried again.
    fn next(&self, pause: Duration) -> Option<Vec<Job>> {
        let mut waiting = lock(&self.waiting);
        while waiting.is_busy || waiting.list.is_empty() {
            if waiting.is_closed && !waiting.is_busy {
                return None;
            }
            let is_over;
            (waiting, is_over) = self.wait_for_work(waiting, pause);
            if is_over && !waiting.is_busy {
                break;
            }
        }
        waiting.is_busy = true;
        waiting.bytes = 0;
        let jobs = std::mem::take(&mut waiting.list);
        drop(waiting);
        self.room.notify_all();
        Some(jobs)
    }

    /// Waits until there may be something to do; whether it is time for what is late.
    fn wait_for_work<'a>(&self, waiting: MutexGuard<'a, Jobs>, pause: Duration) -> (MutexGuard<'a, Jobs>, bool) {
        if !self.is_late.load(Ordering::Relaxed) {
            return (self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner), false);
        }
        let (waiting, timeout) = self.work.wait_timeout(waiting, pause).unwrap_or_else(PoisonError::into_inner);
        (waiting, timeout.timed_out())
    }

    fn write(&self, jobs: Vec<Job>, is_patient: bool) {
        let _turn = Turn(self);
        let mut writer = lock(&self.writer);
        let left = writer.write(jobs, is_patient);
        if !left.is_empty() {
            let mut waiting = lock(&self.waiting);
            waiting.bytes += left.iter().map(Job::size).sum::<usize>();
            if is_patient {
                // After what others have brought meanwhile.
                waiting.list.extend(left);
            } else {
                waiting.list.splice(0..0, left);
            }
        }
        self.leases.store(writer.leases.len(), Ordering::Relaxed);
        self.is_late.store(!writer.unreleased.is_empty(), Ordering::Relaxed);
    }

    /// Takes nothing more; what waits is still done.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// The turn to write, which ends also where writing panics.
struct Turn<'a>(&'a Queue);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.is_busy = false;
        if !waiting.list.is_empty() || waiting.is_closed || self.0.is_late.load(Ordering::Relaxed) {
            self.0.work.notify_one();
        }
    }
}

/// Without the thread nobody would be answered any more.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Out of the lock: whoever waits for an answer learns that there will be none.
        let left = std::mem::take(&mut lock(&self.0.waiting).list);
        drop(left);
    }
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Append(append, _) => append.body.len(),
            _ => 0,
        }
    }
}
