//! What was recorded of a run and is on its way to its journal.

use std::sync::Arc;

use crate::event::Event;
use crate::journal::{Append, Claim, Journal, JournalError, Lease, Reply, Waiting};
use crate::run_id::RunId;
use crate::secret;
use crate::state::Saved;

/// The way of a run's events to its journal: recorded, given to it, acknowledged.
pub(crate) struct Book {
    journal: Arc<dyn Journal>,
    /// None where the run was given back, with its end or for good.
    lease: Option<Lease>,
    /// The names that were claimed with the run.
    exclusive: Vec<String>,
    // Both oldest first, one for one; without the news that nobody waits for.
    events: Vec<Event>,
    /// The states before these events; none before news, which change nothing that has to be taken back.
    saved: Vec<Option<Saved>>,
    /// How many of them the journal was given.
    sent: usize,
    /// Of the last news that nobody waits for, where it was not there at once.
    told: Option<Reply<()>>,
}

/// What is waited for: that the journal has all events up to one.
#[must_use = "what is not acknowledged is told to nobody"]
pub(crate) struct Ack {
    upto: u64,
    reply: Reply<()>,
}

impl Ack {
    #[cfg(feature = "runner")]
    pub(crate) async fn arrived(self) -> Settled {
        Settled { upto: self.upto, result: self.reply.await }
    }

    pub(crate) fn wait(self) -> Settled {
        Settled { upto: self.upto, result: self.reply.wait() }
    }
}

/// What became of it.
pub(crate) struct Settled {
    upto: u64,
    result: Result<(), JournalError>,
}

/// What a journal did not take.
pub(crate) struct Lost {
    pub(crate) error: JournalError,
    /// The states to go back to, one after the other.
    pub(crate) states: Vec<Saved>,
    /// Its start is lost too: the journal has no such run.
    pub(crate) is_all: bool,
}

impl Book {
    pub(crate) fn new(journal: Arc<dyn Journal>, lease: Lease, exclusive: Vec<String>) -> Self {
        Self { journal, lease: Some(lease), exclusive, events: Vec::new(), saved: Vec::new(), sent: 0, told: None }
    }

    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// How it is claimed once more.
    pub(crate) fn claim(&self, run: &RunId) -> Claim {
        let mut claim = Claim::of(run);
        claim.exclusive.clone_from(&self.exclusive);
        claim
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_some()
    }

    pub(crate) fn take_up(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn add(&mut self, event: Event, saved: Option<Saved>) {
        self.events.push(event);
        self.saved.push(saved);
    }

    /// Gives the journal what it was not given yet; `None` where there is nothing.
    pub(crate) fn send(&mut self, waiting: Waiting) -> Option<Box<Ack>> {
        let events = &self.events[self.sent..];
        let last = events.last()?;
        let upto = last.seq;
        let release = last.is_run_end();
        let reply = match &self.lease {
            Some(lease) => {
                let mut append = Append::new(lease, events);
                (append.release, append.waiting) = (release, waiting);
                self.journal.append(append)
            }
            None => Reply::ready(Err(JournalError::TakenOver { run: last.run.clone(), owner: None })),
        };
        self.sent = self.events.len();
        Some(Box::new(Ack { upto, reply }))
    }

    /// Gives the journal news that nobody waits for; where it is known already that it did not take them, why.
    pub(crate) fn send_news(&mut self, events: &[Event]) -> Result<(), JournalError> {
        self.hear()?;
        let Some(lease) = &self.lease else { return Ok(()) };
        let mut append = Append::new(lease, events);
        append.waiting = Waiting::Nobody;
        // One that fails later makes the next append fail too.
        self.told = Some(self.journal.append(append));
        self.hear()
    }

    /// Whether it is known by now that the journal did not take the last news, and why.
    pub(crate) fn hear(&mut self) -> Result<(), JournalError> {
        let Some(answer) = self.told.as_mut().and_then(Reply::look) else { return Ok(()) };
        self.told = None;
        answer
    }

    /// The right to write to the run.
    #[cfg(feature = "runner")]
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The news that were held back by what came before them, where nothing else is left.
    pub(crate) fn take_news(&mut self) -> Vec<Event> {
        if self.sent > 0 || self.saved.iter().any(Option::is_some) {
            return Vec::new();
        }
        self.saved.clear();
        std::mem::take(&mut self.events)
    }

    /// What is waited for where everything was given to the journal, and somebody else waits for that or went away.
    pub(crate) fn barrier(&self, waiting: Waiting) -> Option<Box<Ack>> {
        let (upto, lease) = (self.events.last()?.seq, self.lease.as_ref()?);
        let mut append = Append::new(lease, &[]);
        append.waiting = waiting;
        Some(Box::new(Ack { upto, reply: self.journal.append(append) }))
    }

    /// Takes in what the journal said: the events that it has now, or what is to be taken back.
    pub(crate) fn settle(&mut self, settled: Settled) -> Result<Vec<Event>, Box<Lost>> {
        match settled.result {
            Ok(()) => {
                let kept = self.events.iter().take_while(|event| event.seq <= settled.upto).count();
                self.saved = self.saved.split_off(kept);
                self.sent -= kept;
                // Mostly all of it: then a run that waits holds no memory for what comes.
                let left = self.events.split_off(kept);
                let mut kept = std::mem::replace(&mut self.events, left);
                // What was sealed is for the journal alone.
                for event in &mut kept {
                    secret::withhold(&mut event.kind, None);
                }
                if kept.last().is_some_and(Event::is_run_end) {
                    self.lease = None;
                }
                Ok(kept)
            }
            Err(error) => {
                let is_all = self.events.first().is_some_and(|event| event.seq == 1);
                self.events.clear();
                self.sent = 0;
                self.give_back();
                Err(Box::new(Lost { error, states: self.saved.drain(..).rev().flatten().collect(), is_all }))
            }
        }
    }
}

impl Book {
    /// Gives the run back; nobody has to wait for that.
    pub(crate) fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            drop(self.journal.release(&lease));
        }
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.give_back();
    }
}
