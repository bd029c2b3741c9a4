//! A log that does not grow with each commit.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::beside;

/// What is added at once.
const CHUNK: u64 = 256 << 10;

/// Where SQLite begins the log anew by itself.
const ENOUGH: u64 = 4 << 20;

/// A write that makes a file longer costs the disk a second one, of the file's length. SQLite makes its write-ahead log
/// longer by a page or two with each commit, until it first begins it anew. So zeros are put behind it in larger pieces:
/// to SQLite they are frames that were never written, and it writes over them.
pub(super) struct Reserve {
    path: PathBuf,
    /// The log is as long as we left it; beyond that SQLite has made it longer.
    length: u64,
    commits: u32,
    is_over: bool,
}

impl Reserve {
    pub(super) fn of(database: &Path) -> Self {
        Self { path: beside(database, "-wal"), length: 0, commits: 0, is_over: false }
    }

    /// There is one commit more.
    pub(super) fn count(&mut self) {
        self.commits = self.commits.saturating_add(1);
    }

    /// Makes room, where there is none left. Only within a transaction that writes: nobody else writes to the log then.
    pub(super) fn grow(&mut self) {
        self.count();
        // Who writes little shall not pay for it.
        if self.is_over || self.commits < 16 {
            return;
        }
        // It is only there to be quick: without it SQLite does the same.
        self.is_over = !matches!(self.try_to_grow(), Ok(true));
    }

    /// Whether there is anything to do later.
    fn try_to_grow(&mut self) -> io::Result<bool> {
        let length = std::fs::metadata(&self.path)?.len();
        if length >= ENOUGH {
            return Ok(false);
        }
        if length > self.length {
            let mut file: File = OpenOptions::new().write(true).open(&self.path)?;
            let end = file.seek(SeekFrom::End(0))?;
            let more = usize::try_from(CHUNK - end % CHUNK).unwrap_or(0);
            file.write_all(&vec![0; more])?;
            self.length = end + CHUNK - end % CHUNK;
        }
        Ok(true)
    }
}
