//! How a journal is opened.

use std::path::Path;
use std::time::Duration;

use super::SqliteJournal;
use crate::journal::JournalError;

/// The longest wait that SQLite knows.
const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

/// How much a commit is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Until the disk has it: what was acknowledged survives a power loss. A claim, or the end of one without an append, is
    /// not waited for, unless the commit before it was not either: after a power loss nobody drives a run anyway.
    #[default]
    Full,
    /// Until the operating system has it: what was acknowledged survives a crash of the process, but a power loss, or a
    /// crash of the whole machine, may take the last moments. What is left is whole in any case: events are lost from
    /// the end only, and a run goes on from an earlier point. Steps that this forgets run again.
    Normal,
}

impl Synchronous {
    pub(super) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// How a [`SqliteJournal`] is opened.
///
/// # Examples
///
/// ```
/// use step_machine::journal::{SqliteJournal, Synchronous};
///
/// # let dir = std::env::temp_dir().join(format!("step-machine-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// let journal = SqliteJournal::options().synchronous(Synchronous::Normal).open(dir.join("options.db"))?;
/// # drop(journal);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options open nothing yet; call `open`"]
pub struct SqliteOptions {
    pub(super) synchronous: Synchronous,
    pub(super) busy_timeout: Duration,
    pub(super) max_size: Option<u64>,
    pub(super) accept_damaged_log: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(10),
            max_size: None,
            accept_damaged_log: false,
        }
    }
}

impl SqliteOptions {
    /// How much a commit is waited for; until the disk has it, by default.
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long another process that is just writing to the file is waited for: 10 s by default, 24 days at most.
    pub fn busy_timeout(mut self, span: Duration) -> Self {
        self.busy_timeout = span.min(LONGEST_WAIT);
        self
    }

    /// How large the database may become, in bytes; rounded down to whole pages, but never to none. A write that finds no room fails with
    /// [`JournalError::Write`]. Without it only the disk is a limit.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Opens the file also where its write-ahead log (`<file>-wal`) is damaged, and goes on from the commits before the
    /// damage, as SQLite does by itself; refused by default. All later commits are lost for good, of all runs in the file:
    /// runs go on from an earlier point, and steps that completed meanwhile run again. Copy both files away before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use step_machine::SqliteJournal;
    /// # let dir = std::env::temp_dir().join(format!("step-machine-accept-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let journal = SqliteJournal::options().accept_damaged_log(true).open(dir.join("runs.db"))?;
    /// # drop(journal);
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept_damaged_log(mut self, accept: bool) -> Self {
        self.accept_damaged_log = accept;
        self
    }

    /// Opens the file, and makes it where it is not there yet.
    pub fn open(self, path: impl AsRef<Path>) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open_with(path.as_ref(), &self)
    }

    /// Opens a file that is there, only to read it; see [`SqliteJournal::open_read_only`].
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::look_with(path.as_ref(), &self)
    }
}
