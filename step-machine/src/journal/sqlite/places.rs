//! Where the rows of a run stand.
//!
//! An index that follows each commit is changed on as many pages as the commit has runs, which are more pages than the rows
//! themselves take. So it is a table that takes the rows of many commits at once; those behind it are looked through.

use std::collections::HashMap;

use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, params};

use super::error::is_damage;

/// So many bytes of rows are placed at once. To look through as many takes about a millisecond.
const ENOUGH: usize = 4 << 20;

/// So many rows are looked for one by one, beside damage: an id may be damaged, too.
const MOST: usize = 1 << 20;

/// Fewer rows are looked through rather than placed.
const FEW: i64 = 64;

/// The rows of the run `?1`, where those after `?2` are not placed.
pub(super) const OF_RUN: &str = "SELECT record FROM place WHERE run = ?1 AND record <= ?2
    UNION ALL SELECT id FROM record WHERE id > ?2 AND run = ?1";

/// Joins to each run its last row, where `behind` has the last one of those that are not placed.
pub(super) const WITH_LAST: &str = "LEFT JOIN behind ON behind.run = run.key
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

/// Places the rows that are not; within a transaction that does nothing else, since SQLite commits none in which it has
/// come upon damage.
pub(super) fn place(connection: &Connection) -> Result<(), Error> {
    let (upto, last) = (upto(connection)?, last(connection)?);
    connection
        .prepare_cached("INSERT OR IGNORE INTO place SELECT run, id FROM record WHERE id > ?1 ORDER BY run, id")?
        .execute([upto])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO placed (key, upto, checksum) VALUES (1, ?1, ?2)")?
        .execute(params![upto.max(last), check(upto.max(last))])
        .map(drop)
}

fn last(connection: &Connection) -> Result<i64, Error> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM record")?.query_row([], |row| row.get(0))
}

/// The last row of a run after those that are placed.
fn last_behind(key: i64, upto: i64, connection: &Connection) -> Result<Option<i64>, Error> {
    connection
        .prepare_cached("SELECT max(id) FROM record WHERE id > ?2 AND run = ?1")?
        .query_row([key, upto], |row| row.get(0))
}

/// What one who writes knows of the rows.
#[derive(Default)]
pub(super) struct Places {
    /// The id of the next row, while nobody else writes.
    next: Option<i64>,
    /// How many bytes of rows were written here since the last ones were placed.
    behind: usize,
    /// What says how far rows are placed is damaged; `None` where that has to be looked at.
    is_lost: Option<bool>,
    /// The rows behind, where some of them cannot be read.
    beside_damage: Option<Behind>,
}

impl Places {
    /// The id of a row that is written next, of so many bytes. It comes after all that are placed, also where these are
    /// gone: otherwise the row would not be looked for.
    pub(super) fn take(&mut self, connection: &Connection, bytes: usize) -> Result<i64, Error> {
        let next = match self.next {
            Some(next) => next,
            None => last(connection)?.max(self.upto(connection)?) + 1,
        };
        self.next = Some(next + 1);
        self.count(bytes);
        Ok(next)
    }

    /// So many bytes more are written to rows.
    pub(super) fn count(&mut self, bytes: usize) {
        self.behind = self.behind.saturating_add(bytes);
    }

    /// Somebody else may have written.
    pub(super) fn forget(&mut self) {
        self.next = None;
    }

    /// What was written is taken back.
    pub(super) fn clear(&mut self) {
        (self.next, self.is_lost) = (None, None);
    }

    /// Looks, where that is not known, for damage to what says how far rows are placed, and to those after it; and beside
    /// damage again where a run is claimed. Not within a transaction: SQLite writes nothing more in one that has come upon
    /// damage, whoever it is for.
    pub(super) fn look(&mut self, connection: &Connection, claims: bool) -> Result<(), Error> {
        if self.is_lost.is_some() && !(claims && self.is_damaged()) {
            return Ok(());
        }
        let upto = try_upto(connection)?;
        // It looks through all of them.
        let found = last_behind(0, upto.unwrap_or(0), connection);
        self.beside_damage = None;
        if found.as_ref().is_err_and(is_damage) {
            let mut behind = Behind::default();
            behind.look(connection)?;
            self.beside_damage = Some(behind);
        } else {
            found?;
        }
        self.is_lost = Some(upto.is_none());
        Ok(())
    }

    /// The last row that is placed, for one who writes.
    pub(super) fn upto(&self, connection: &Connection) -> Result<i64, Error> {
        if self.is_lost == Some(true) { Ok(0) } else { upto(connection) }
    }

    /// Whether there are more than a few rows that are not placed.
    pub(super) fn are_many_behind(&self, connection: &Connection) -> Result<bool, Error> {
        Ok(last(connection)? - self.upto(connection)? >= FEW)
    }

    /// Has the rows placed after the commit, where they are many: who goes on with one run may do so with many.
    pub(super) fn ask(&mut self, connection: &Connection) -> Result<(), Error> {
        if self.are_many_behind(connection)? {
            self.behind = ENOUGH;
        }
        Ok(())
    }

    /// The last row of a run.
    pub(super) fn last_of(&self, key: i64, connection: &Connection) -> Result<Option<i64>, Error> {
        let upto = self.upto(connection)?;
        let last_behind = match &self.beside_damage {
            Some(behind) => behind.last(key),
            None => last_behind(key, upto, connection)?,
        };
        match last_behind {
            None => connection
                .prepare_cached("SELECT max(record) FROM place WHERE run = ?1 AND record <= ?2")?
                .query_row([key, upto], |row| row.get(0)),
            last => Ok(last),
        }
    }

    /// Whether some of the rows behind cannot be read, so that whose they are is not known.
    pub(super) fn is_damaged(&self) -> bool {
        self.beside_damage.is_some()
    }

    /// The rows are placed, or why they are not.
    pub(super) fn placed(&mut self, error: Option<&Error>) {
        match error {
            None => (self.is_lost, self.beside_damage) = (Some(false), None),
            Some(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => self.behind = ENOUGH,
            Some(_) => {}
        }
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
    /// Some of them cannot be read.
    is_damaged: bool,
}

impl Behind {
    /// The last row that is placed, and the rows of a run after it; within a transaction.
    pub(super) fn of(&mut self, key: i64, connection: &Connection) -> Result<(i64, &[i64]), Error> {
        self.look(connection)?;
        Ok((self.upto, self.rows.get(&key).map_or(&[], Vec::as_slice)))
    }

    /// The last row of each run that has any, as JSON: the key of the run, and the row; within a transaction.
    pub(super) fn last_of_each(&mut self, connection: &Connection) -> Result<String, Error> {
        self.look(connection)?;
        let last: HashMap<_, _> = self.rows.iter().map(|(run, rows)| (run, rows.last())).collect();
        Ok(serde_json::json!(last).to_string())
    }

    /// The last row of a run among those that were found last.
    fn last(&self, key: i64) -> Option<i64> {
        self.rows.get(&key)?.last().copied()
    }

    /// Whether some of the rows that were found last could not be read, so that whose they are is not known.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    fn look(&mut self, connection: &Connection) -> Result<(), Error> {
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != Some(version) {
            *self = Self { upto: upto(connection)?, ..Self::default() };
            let mut last = self.upto;
            match self.gather(&mut last, connection) {
                Err(error) if is_damage(&error) => self.gather_singly(last, connection)?,
                gathered => gathered?,
            }
            self.version = Some(version);
        }
        Ok(())
    }

    /// Adds what comes after the row `last`, which follows.
    fn gather(&mut self, last: &mut i64, connection: &Connection) -> Result<(), Error> {
        let mut select = connection.prepare_cached("SELECT run, id FROM record WHERE id > ?1 ORDER BY id")?;
        let mut rows = select.query([*last])?;
        while let Some(row) = rows.next()? {
            let run = row.get(0)?;
            *last = row.get(1)?;
            self.rows.entry(run).or_default().push(*last);
        }
        Ok(())
    }

    /// Adds those that can be read of the rows after this one.
    fn gather_singly(&mut self, after: i64, connection: &Connection) -> Result<(), Error> {
        self.is_damaged = true;
        let mut select = connection.prepare_cached("SELECT run FROM record WHERE id = ?1")?;
        let last = match last(connection) {
            Err(error) if is_damage(&error) => return Ok(()),
            last => last?,
        };
        for id in (after + 1..=last).take(MOST) {
            match select.query_row([id], |row| row.get(0)).optional() {
                Ok(run) => run.into_iter().for_each(|run| self.rows.entry(run).or_default().push(id)),
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
