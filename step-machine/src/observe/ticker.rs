//! A thread that does something now and then, and ends with whoever started it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ends its thread when it is dropped, and waits for that.
#[derive(Debug)]
pub(super) struct Ticker {
    // Dropped, it wakes the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Calls `act` after `first`, and then as often as that says. `None` where the system gives no thread.
    pub(super) fn start(first: Duration, mut act: impl FnMut() -> Duration + Send + 'static) -> Option<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let work = move || {
            let mut wait = first;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = act();
            }
        };
        let thread = thread::Builder::new().name("step-machine screen".to_owned()).spawn(work).ok()?;
        Some(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        // It has nothing to say, and only ends early where it panicked.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
