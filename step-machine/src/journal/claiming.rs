//! A claim that nobody waits for any more: what it is granted goes back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use super::{Claim, Claimed, Journal, JournalError, Reply};

/// A claim under way. Dropped before its answer, it gives the run back once the journal has answered.
pub(crate) struct Claiming {
    journal: Arc<dyn Journal>,
    /// None once it is answered.
    reply: Option<Reply<Claimed>>,
}

impl Claiming {
    pub(crate) fn new(journal: Arc<dyn Journal>, claim: &Claim) -> Self {
        let reply = Some(journal.claim(claim));
        Self { journal, reply }
    }
}

impl Future for Claiming {
    type Output = Result<Claimed, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(reply) = &mut self.reply else { return Poll::Ready(Err(JournalError::Closed)) };
        let answer = ready!(Pin::new(reply).poll(cx));
        self.reply = None;
        Poll::Ready(answer)
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        let journal = self.journal.clone();
        let later = move |answer| {
            // Not on the thread that answers: it may be the one that makes room for a release, it may hold a lock of the
            // journal's, and the journal may go with its last clone, which waits for that thread. Where no thread can be
            // started, the run stays with this process.
            let give_back = move || give_back(&*journal, answer);
            drop(thread::Builder::new().name("journal-release".to_owned()).spawn(give_back));
        };
        if let Some(answer) = reply.now_or(later) {
            give_back(&*self.journal, answer);
        }
    }
}

fn give_back(journal: &dyn Journal, answer: Result<Claimed, JournalError>) {
    if let Ok(claimed) = answer {
        drop(journal.release(&claimed.lease));
    }
}
