//! A command and all that it starts, as one thing that ends together.

use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// How long at most, and how far apart, a killed process is looked after; see [`Group::reap`].
const REAP_LIMIT: Duration = Duration::from_millis(200);
const REAP_PAUSE: Duration = Duration::from_micros(100);

/// A running command. Dropped before [`let_go`](Self::let_go), it kills the command's whole process group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) child: Child,
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
    let_go: bool,
}

impl Group {
    /// Starts the command as the leader of a group of its own.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        // Without a runtime, spawning would panic.
        Handle::try_current().map_err(io::Error::other)?;
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn()?;
        Ok(Self {
            #[cfg(unix)]
            leader: child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw),
            child,
            let_go: false,
        })
    }

    /// How the command ended; whatever it started may go on.
    pub(super) fn poll_exit(&mut self, task: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        pin!(self.child.wait()).poll(task)
    }

    /// The command has ended by itself: what it left running may stay.
    pub(super) fn let_go(&mut self) {
        self.let_go = true;
    }

    fn kill(&mut self) {
        // The number is nobody else's: a process keeps its own until it is waited for, and a group keeps it while it
        // has members. In the short grace after the wait it could only be given away once all of them are gone.
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // No such group: all of it is gone.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
        // Where there are no groups.
        let _ = self.child.start_kill();
    }

    /// Waits for the killed process, on this thread: it takes well below a millisecond, but on a machine with more to do
    /// than it can.
    ///
    /// The runtime would do it too, but not while it shuts down. It still does where the system takes too long.
    fn reap(&mut self) {
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < REAP_LIMIT {
            thread::sleep(REAP_PAUSE);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.let_go {
            self.kill();
            self.reap();
        }
    }
}
