//! A file that nobody writes to. One who may not write is to put nothing beside it: SQLite would leave a log that is as little
//! writable as the file, and keep away the next one who writes.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};

use super::{SqliteOptions, connect, log};
use crate::journal::JournalError;

/// A database as it was when nobody had it open. As long as it is so, what is read of it alone is all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Still {
    modified: SystemTime,
    length: u64,
}

impl Still {
    /// `None` where it has a log, cannot be seen, or has a path that [`open`] cannot name.
    pub(super) fn of(database: &Path) -> Option<Self> {
        if !cfg!(unix) || database.to_str().is_none() || log::is_there(database) {
            return None;
        }
        let found = std::fs::metadata(database).ok()?;
        Some(Self { modified: found.modified().ok()?, length: found.len() })
    }
}

/// Opens it as a file that nobody changes; without a log beside it, and without a lock.
pub(super) fn open(database: &Path, options: &SqliteOptions) -> Result<Connection, JournalError> {
    let uri = immutable(&database.to_string_lossy());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    connect::look_as(database, Path::new(&uri), flags, options)
}

/// Whether it may not be written to from here. It is asked by SQLite, which keeps the locks that this process may have on it.
pub(super) fn may_only_be_read(database: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(database, flags)
        .and_then(|connection| connection.is_readonly(rusqlite::MAIN_DB))
        .unwrap_or(false)
}

/// Whether it is there and cannot even be opened to read. Asked by SQLite too, for the same locks.
pub(super) fn is_shut(database: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    database.is_file() && Connection::open_with_flags(database, flags).is_err()
}

/// The name of a file that nobody changes, as SQLite takes it.
fn immutable(path: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = "file:".to_owned();
    for byte in path.bytes() {
        // All else may have a meaning of its own in such a name.
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(byte.into());
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_of_sqlite_whatever_is_in_it() {
        assert_eq!(immutable("/a b/50%?#ä.db"), "file:/a%20b/50%25%3F%23%C3%A4.db?immutable=1");
    }
}
