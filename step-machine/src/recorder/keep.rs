//! Giving the journal what was recorded, and waiting for it.

use super::{Fault, Recorder};
use crate::book::{Ack, Settled};
use crate::journal::{JournalError, Waiting};

impl Recorder {
    /// Records several events that the journal gets in one.
    pub(crate) fn together(&mut self, record: impl FnOnce(&mut Self) -> bool) -> bool {
        let was_deferred = std::mem::replace(&mut self.is_deferred, true);
        let is_recorded = record(self);
        self.is_deferred = was_deferred;
        is_recorded && (was_deferred || self.flush())
    }

    /// From here on whoever drives the run waits for the journal where it matters, and not each event by itself.
    #[cfg(feature = "runner")]
    pub(crate) fn defer(&mut self) {
        self.is_deferred = true;
    }

    /// Whether there is such a run: not where its journal could not even take its start.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether a journal keeps the run.
    #[cfg(feature = "runner")]
    pub(crate) fn is_kept(&self) -> bool {
        self.book.is_some()
    }

    /// Gives the journal what it does not have yet; what is to be waited for, where there is anything.
    #[inline]
    pub(crate) fn send(&mut self, waiting: Waiting) -> Option<Box<Ack>> {
        self.book.as_mut()?.send(waiting)
    }

    /// Takes in what the journal said; `false` where it has failed, now or before.
    pub(crate) fn settle(&mut self, settled: Settled) -> bool {
        if self.is_broken() {
            return false;
        }
        let Some(book) = &mut self.book else { return true };
        match book.settle(settled) {
            Ok(events) => {
                let news = book.take_news();
                let sent = if news.is_empty() { Ok(()) } else { book.send_news(&news) };
                let news = match sent {
                    Ok(()) => news,
                    Err(error) => {
                        self.break_off(error);
                        Vec::new()
                    }
                };
                for event in events.iter().chain(&news) {
                    self.observers.notify(event);
                }
            }
            Err(lost) => {
                for saved in lost.states {
                    self.state.restore(saved);
                }
                self.has_begun = !lost.is_all;
                self.break_off(lost.error);
            }
        }
        !self.is_broken()
    }

    /// What is waited for until the journal has everything, also what somebody else has given it; `None` where it has.
    #[inline]
    pub(crate) fn send_all(&mut self, waiting: Waiting) -> Option<Box<Ack>> {
        self.send(waiting).or_else(|| self.book.as_ref()?.barrier(waiting))
    }

    /// Waits until the journal has everything; `false` where it has failed, now or before.
    pub(crate) fn flush(&mut self) -> bool {
        match self.send_all(Waiting::Thread) {
            Some(ack) => self.settle(ack.wait()),
            None => !self.is_broken(),
        }
    }

    /// Takes the waiting back from whoever drove the run.
    pub(crate) fn catch_up(&mut self) {
        self.is_deferred = false;
        if !self.is_broken() {
            self.flush();
        }
    }

    /// Claims the run again, which was given back with its end.
    pub(crate) fn claim_again(&mut self) -> bool {
        let Some(book) = self.book.as_mut().filter(|book| !book.has_lease()) else { return !self.is_broken() };
        let claim = book.claim(self.state.run());
        let error = match book.journal().claim(&claim).wait() {
            Ok(claimed) => {
                let last = claimed.events.last().map_or(0, |event| event.seq);
                book.take_up(claimed.lease);
                if last == self.state.seq() {
                    return true;
                }
                JournalError::Conflict { run: claim.run, found: self.state.seq() + 1, last }
            }
            Err(error) => error,
        };
        self.break_off(error);
        false
    }

    /// The journal's failure, once.
    pub(crate) fn take_fault(&mut self) -> Option<JournalError> {
        if !matches!(self.fault, Fault::Untold(_)) {
            return None;
        }
        match std::mem::replace(&mut self.fault, Fault::Told) {
            Fault::Untold(error) => Some(*error),
            Fault::None | Fault::Told => None,
        }
    }

    /// Takes back the journal's failure, which was told to nobody.
    #[cfg(feature = "runner")]
    pub(crate) fn take_fault_back(&mut self, error: JournalError) {
        if matches!(self.fault, Fault::Told) {
            self.fault = Fault::Untold(Box::new(error));
        }
    }

    /// Lets a run go that its journal has broken off: it has no end that the observers could be told, and nothing more is
    /// written to it from here, also where a failure of it is kept.
    pub(crate) fn let_go_if_broken(&mut self) {
        if self.is_broken() {
            self.observers.dismiss();
            if let Some(book) = &mut self.book {
                book.give_back();
            }
        }
    }

    pub(crate) fn break_off(&mut self, error: JournalError) {
        self.is_short = false;
        self.fault = Fault::Untold(Box::new(error));
    }
}
