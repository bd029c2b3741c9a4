//! Removing runs that are over.

use std::time::SystemTime;

use rusqlite::{Connection, Error, Params, Row};

use super::claims::{holder, is_driven};
use super::error::unusable;
use super::job::Fault;
use super::load::record_of;
use super::places::{OF_RUN, WITH_LAST};
use super::writer::Writer;
use crate::journal::record::micros;

/// So many are removed in one transaction, while the others wait.
const AT_ONCE: usize = 500;

/// Those that are not placed are after the row `?1`.
const RUNS: &str = "WITH behind AS (SELECT run, max(id) AS record FROM record WHERE id > ?1 GROUP BY run)
    SELECT run.key, run.id, run.abandoned_at IS NOT NULL,
    last.first_seq, last.last_seq, last.epoch, last.at_us, last.percentage, last.phase, last.checksum, last.body
    FROM run";

const OVER: &str = "WHERE run.key > ?2 AND run.parent IS NULL AND last.at_us < ?3
    AND (run.status IN ('completed', 'failed', 'cancelled', 'rolled_back') OR run.abandoned_at IS NOT NULL)
    ORDER BY run.key LIMIT ?4";

/// A run and all that is nested in it, however deep.
const FAMILY: &str = "WITH RECURSIVE family (key, id) AS (
    SELECT key, id FROM run WHERE key = ?1
    UNION SELECT run.key, run.id FROM run JOIN family ON run.parent = family.id
    ) SELECT key FROM family";

/// How far it is to remove the runs that are over since before a time, with what is nested in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pruning {
    before: i64,
    /// The key of the last run that was looked at.
    after: i64,
    pub(super) removed: usize,
    pub(super) is_done: bool,
}

impl Pruning {
    pub(super) fn of(before: SystemTime) -> Self {
        Self { before: micros(before), after: 0, removed: 0, is_done: false }
    }

    /// Removes some more.
    pub(super) fn go_on(mut self, writer: &mut Writer) -> Result<Self, Fault> {
        if writer.rows.places.is_damaged() {
            let source = "some of the newest rows of all runs cannot be read";
            return Err(Fault::Alone(unusable(&writer.path, "it is damaged; restore it from a copy", source.into())));
        }
        let upto = writer.rows.places.upto(&writer.connection)?;
        let over = over(&writer.connection, (upto, self.after, self.before, AT_ONCE))?;
        self.is_done = over.len() < AT_ONCE;
        self.after = over.last().map_or(self.after, |(key, _)| *key);
        for (run, _) in over.into_iter().filter(|(_, is_sure)| *is_sure) {
            let family = keys(&writer.connection, FAMILY, [run])?;
            if is_held(writer, &family)? {
                continue;
            }
            for key in family {
                remove(&writer.connection, key, upto)?;
            }
            self.removed += 1;
        }
        Ok(self)
    }
}

/// The runs that are over, each with whether that is sure: the time stands in a row that may be damaged. Of one that was
/// given up it does not matter.
fn over(connection: &Connection, values: impl Params) -> Result<Vec<(i64, bool)>, Error> {
    let mut select = connection.prepare_cached(&format!("{RUNS} {WITH_LAST} {OVER}"))?;
    select.query_map(values, |row| Ok((row.get(0)?, row.get(2)? || is_sound(row).unwrap_or(false))))?.collect()
}

fn is_sound(row: &Row<'_>) -> Result<bool, Error> {
    let (last, checksum) = record_of(row, 3)?;
    Ok(last.is_sound(row.get_ref(1)?.as_str()?, checksum))
}

fn keys(connection: &Connection, select: &str, values: impl Params) -> Result<Vec<i64>, Error> {
    connection.prepare_cached(select)?.query_map(values, |row| row.get(0))?.collect()
}

/// Whether somebody drives any of them, or cannot be asked.
fn is_held(writer: &Writer, family: &[i64]) -> Result<bool, Fault> {
    for key in family {
        let owner = holder(&writer.connection, *key)?.and_then(|holding| holding.owner);
        match is_driven(writer, owner.as_ref()) {
            Ok(false) => {}
            Ok(true) | Err(Fault::Alone(_)) => return Ok(true),
            Err(fault) => return Err(fault),
        }
    }
    Ok(false)
}

/// Removes a run; `upto` is the last row that is placed.
fn remove(connection: &Connection, key: i64, upto: i64) -> Result<(), Error> {
    connection
        .prepare_cached(&format!("DELETE FROM record WHERE run = ?1 AND id IN ({OF_RUN})"))?
        .execute([key, upto])?;
    for statement in
        ["DELETE FROM place WHERE run = ?1", "DELETE FROM exclusive WHERE run = ?1", "DELETE FROM run WHERE key = ?1"]
    {
        connection.prepare_cached(statement)?.execute([key])?;
    }
    Ok(())
}
