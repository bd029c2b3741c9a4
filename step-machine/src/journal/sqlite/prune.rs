//! Removing runs that are over.

use std::time::SystemTime;

use rusqlite::{Connection, Error};

use super::claims::{holder, is_driven};
use super::job::Fault;
use super::writer::Writer;
use crate::journal::record::micros;

const OVER: &str = "SELECT run.key FROM run
    JOIN record AS last
    ON last.id = (SELECT id FROM record WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1)
    WHERE run.parent IS NULL AND last.at_us < ?1
    AND (run.status IN ('completed', 'failed', 'cancelled', 'rolled_back') OR run.abandoned_at IS NOT NULL)";

/// A run and all that is nested in it, however deep.
const FAMILY: &str = "WITH RECURSIVE family (key, id) AS (
    SELECT key, id FROM run WHERE key = ?1
    UNION SELECT run.key, run.id FROM run JOIN family ON run.parent = family.id
    ) SELECT key FROM family";

/// Removes the runs that are over since before then, with what is nested in them; gives how many.
pub(super) fn prune(writer: &mut Writer, before: SystemTime) -> Result<usize, Fault> {
    let over = keys(&writer.connection, OVER, micros(before))?;
    let mut removed = 0;
    for run in over {
        let family = keys(&writer.connection, FAMILY, run)?;
        if is_held(writer, &family)? {
            continue;
        }
        for key in family {
            remove(&writer.connection, key)?;
        }
        removed += 1;
    }
    Ok(removed)
}

fn keys(connection: &Connection, select: &str, value: i64) -> Result<Vec<i64>, Error> {
    connection.prepare_cached(select)?.query_map([value], |row| row.get(0))?.collect()
}

fn is_held(writer: &Writer, family: &[i64]) -> Result<bool, Fault> {
    for key in family {
        let owner = holder(&writer.connection, *key)?.and_then(|holding| holding.owner);
        if is_driven(writer, owner.as_ref())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(connection: &Connection, key: i64) -> Result<(), Error> {
    for statement in
        ["DELETE FROM record WHERE run = ?1", "DELETE FROM exclusive WHERE run = ?1", "DELETE FROM run WHERE key = ?1"]
    {
        connection.prepare_cached(statement)?.execute([key])?;
    }
    Ok(())
}
