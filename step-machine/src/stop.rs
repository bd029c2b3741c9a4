//! Asking a run that goes on to stop.

use std::sync::atomic::{AtomicU8, Ordering};

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
