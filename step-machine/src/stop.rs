//! Asking a run that goes on to stop.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How a run is asked to stop; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What failed is not tried again: a sibling stopped the run.
    Close = 1,
    /// Running bodies finish, and nothing else starts.
    Finish = 2,
    /// Running bodies are left where they are.
    Now = 3,
}

/// How far the run was asked to stop. It only rises, until a rollback begins with a fresh one.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    level: AtomicU8,
    raised: Notify,
    /// How many tasks of the runtime are within a body, and [`LEFT`].
    within: AtomicUsize,
}

/// Nobody waits for the run any more, so none of its tasks goes on with a body.
const LEFT: usize = 1 << (usize::BITS - 1);

/// A task is within a body as long as it has this.
pub(crate) struct Within<'s>(&'s Stop);

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.within.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Stop {
    #[inline]
    pub(crate) fn is(&self, level: Level) -> bool {
        self.level.load(Ordering::Acquire) >= level as u8
    }

    pub(crate) fn raise(&self, level: Level) {
        self.level.fetch_max(level as u8, Ordering::AcqRel);
        self.raised.notify_waiters();
    }

    /// Forgets what was asked: taking back what was done is not stopped by what stopped the run.
    pub(crate) fn reset(&self) {
        self.level.store(0, Ordering::Release);
    }

    /// Lets a task go on with a body, unless nobody waits for the run any more.
    pub(crate) fn enter(&self) -> Option<Within<'_>> {
        let within = self.within.fetch_add(1, Ordering::AcqRel);
        Some(Within(self)).filter(|_| within & LEFT == 0)
    }

    /// Lets no task go on with a body from here on; `false` where one is within a body that it has to leave by itself.
    pub(crate) fn leave(&self) -> bool {
        self.raise(Level::Now);
        self.within.fetch_or(LEFT, Ordering::AcqRel) == 0
    }

    /// Waits until the run is asked to stop so far.
    pub(crate) async fn reached(&self, level: Level) {
        loop {
            // Listening before looking, so that nothing falls in between.
            let raised = self.raised.notified();
            if self.is(level) {
                return;
            }
            raised.await;
        }
    }
}
