//! What SQLite itself takes.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// A file with one table, set up as a journal is: WAL, and each commit waited for.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE step (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")?;
    Ok(connection)
}

/// One commit for each of so many steps, of 128 bytes.
pub(crate) fn chain(connection: &Connection, steps: u32) -> rusqlite::Result<Duration> {
    chain_of(connection, steps, &[b'x'; 128])
}

/// One commit for each of so many steps, of these bytes.
pub(crate) fn chain_of(connection: &Connection, steps: u32, body: &[u8]) -> rusqlite::Result<Duration> {
    let since = Instant::now();
    for _ in 0..steps {
        connection.prepare_cached("INSERT INTO step (body) VALUES (?1)")?.execute([body])?;
    }
    Ok(since.elapsed())
}
