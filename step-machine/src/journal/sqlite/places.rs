//! Where the rows of a run stand.
//!
//! An index that follows each commit is changed on as many pages as the commit has runs, which are more pages than the rows
//! themselves take. So it is a table that takes the rows of many commits at once; those behind it are looked through.

use std::collections::HashMap;

use rusqlite::{Connection, Error, OptionalExtension, params};

use super::error::is_damage;

/// So many bytes of rows are placed at once. To look through as many takes about a millisecond.
const ENOUGH: usize = 4 << 20;

/// Fewer rows are looked through rather than placed.
const FEW: i64 = 64;

/// The rows of the run `?1`, where those after `?2` are not placed.
pub(super) const OF_RUN: &str = "SELECT record FROM place WHERE run = ?1 AND record <= ?2
    UNION ALL SELECT id FROM record WHERE id > ?2 AND run = ?1";

/// Joins to each run its last row, where the rows after `?1` are not placed.
pub(super) const WITH_LAST: &str =
    "LEFT JOIN (SELECT run, max(id) AS record FROM record WHERE id > ?1 GROUP BY run) AS behind
    ON behind.run = run.key
    LEFT JOIN record AS last
    ON last.id = coalesce(behind.record, (SELECT max(record) FROM place WHERE place.run = run.key))";

/// The last row that is placed, as all those before it are. Where what says so is damaged it is none: then all rows are
/// looked through.
pub(super) fn upto(connection: &Connection) -> Result<i64, Error> {
    Ok(try_upto(connection)?.unwrap_or(0))
}

/// The same; `None` where it is damaged.
pub(super) fn try_upto(connection: &Connection) -> Result<Option<i64>, Error> {
    let read = || {
        connection
            .prepare_cached("SELECT upto, checksum FROM placed")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)))
            .optional()
    };
    match read() {
        Ok(found) => Ok(found.filter(|(upto, checksum)| check(*upto) == *checksum).map(|(upto, _)| upto)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(upto: i64) -> u32 {
    crc32fast::hash(&upto.to_le_bytes())
}

/// Whether there are more than a few rows that are not placed.
pub(super) fn are_many_behind(connection: &Connection) -> Result<bool, Error> {
    Ok(last(connection)? - upto(connection)? >= FEW)
}

/// Places the rows that are not; within a transaction that does nothing else, since SQLite commits none in which it has
/// come upon damage.
pub(super) fn place(connection: &Connection) -> Result<(), Error> {
    let (upto, last) = (upto(connection)?, last(connection)?);
    connection
        .prepare_cached("INSERT OR IGNORE INTO place SELECT run, id FROM record WHERE id > ?1 ORDER BY run, id")?
        .execute([upto])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO placed (key, upto, checksum) VALUES (1, ?1, ?2)")?
        .execute(params![last, check(last)])
        .map(drop)
}

fn last(connection: &Connection) -> Result<i64, Error> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM record")?.query_row([], |row| row.get(0))
}

/// What one who writes knows of the rows.
#[derive(Default)]
pub(super) struct Places {
    /// The id of the next row, while nobody else writes.
    next: Option<i64>,
    /// How many bytes of rows were written here since the last ones were placed.
    behind: usize,
}

impl Places {
    /// The id of a row that is written next, of so many bytes. It comes after all that are placed, also where these are
    /// gone: otherwise the row would not be looked for.
    pub(super) fn take(&mut self, connection: &Connection, bytes: usize) -> Result<i64, Error> {
        let next = match self.next {
            Some(next) => next,
            None => last(connection)?.max(upto(connection)?) + 1,
        };
        self.next = Some(next + 1);
        self.behind += bytes;
        Ok(next)
    }

    /// Somebody else may have written, or what was written is taken back.
    pub(super) fn forget(&mut self) {
        self.next = None;
    }

    /// Has the rows placed after the commit.
    pub(super) fn ask(&mut self) {
        self.behind = ENOUGH;
    }

    /// Whether it is time to place the rows; once each time.
    pub(super) fn is_time(&mut self) -> bool {
        let is_time = self.behind >= ENOUGH;
        if is_time {
            self.behind = 0;
        }
        is_time
    }
}

/// The rows that are not placed, as one who reads has found them.
#[derive(Default)]
pub(super) struct Behind {
    /// What SQLite says as long as nobody writes.
    version: Option<i64>,
    upto: i64,
    /// By the key of their run, in their order.
    rows: HashMap<i64, Vec<i64>>,
}

impl Behind {
    /// The last row that is placed, and the rows of a run after it; within a transaction.
    pub(super) fn of(&mut self, key: i64, connection: &Connection) -> Result<(i64, &[i64]), Error> {
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != Some(version) {
            *self = Self { version: None, upto: upto(connection)?, rows: HashMap::new() };
            let mut select = connection.prepare_cached("SELECT run, id FROM record WHERE id > ?1 ORDER BY id")?;
            let mut rows = select.query([self.upto])?;
            while let Some(row) = rows.next()? {
                self.rows.entry(row.get(0)?).or_default().push(row.get(1)?);
            }
            self.version = Some(version);
        }
        Ok((self.upto, self.rows.get(&key).map_or(&[], Vec::as_slice)))
    }
}
