//! Reading a run.

use rusqlite::{Connection, Error, OptionalExtension, Transaction};

use super::error::read;
use super::job::Fault;
use crate::event::Event;
use crate::journal::JournalError;
use crate::journal::error::damaged;
use crate::journal::record::{Row, id_check};
use crate::run_id::RunId;

/// All events of a run; none where it is not there.
pub(super) fn load(connection: &mut Connection, run: &RunId) -> Result<Vec<Event>, JournalError> {
    // All that is read is of one moment.
    let transaction = connection.transaction().map_err(|error| read(run, error))?;
    let Some(found) = find(&transaction, run).map_err(|error| read(run, error))? else {
        check_unknown(&transaction, run).map_err(|error| match error {
            Fault::Alone(error) => error,
            Fault::Store(error) => read(run, error),
        })?;
        return Ok(Vec::new());
    };
    let events = events_of(&transaction, run, found.key)?;
    let last = found.last_seq.max(if found.is_driven { newest(&transaction, run, found.key)? } else { 0 });
    if events.last().map_or(0, |event| event.seq) < last {
        return Err(damaged(run, format!("event {last} is missing")));
    }
    Ok(events)
}

struct Found {
    key: i64,
    last_seq: u64,
    is_driven: bool,
}

fn find(transaction: &Transaction<'_>, run: &RunId) -> Result<Option<Found>, Error> {
    transaction
        .prepare_cached("SELECT key, last_seq, owner IS NOT NULL FROM run WHERE id = ?1")?
        .query_row([run.to_string()], |row| {
            Ok(Found { key: row.get(0)?, last_seq: row.get(1)?, is_driven: row.get(2)? })
        })
        .optional()
}

/// Fails where a run is there, but not found by its id.
pub(super) fn check_unknown(connection: &Connection, run: &RunId) -> Result<(), Fault> {
    let mut select = connection.prepare_cached("SELECT id FROM run INDEXED BY run_id_check WHERE id_check = ?1")?;
    let mut rows = select.query([id_check(run)])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, String>(0)? == run.to_string() {
            return Err(Fault::Alone(damaged(run, "the index of runs does not have it")));
        }
    }
    Ok(())
}

/// The last event of a run that the newest rows have. The row of the run does not tell while it is driven, nor after a
/// crash, and were the index of rows damaged just there, its end would seem to be an earlier one.
fn newest(transaction: &Transaction<'_>, run: &RunId, key: i64) -> Result<u64, JournalError> {
    let select = "SELECT coalesce(max(last_seq), 0)
        FROM (SELECT run, last_seq FROM record NOT INDEXED ORDER BY id DESC LIMIT 1024) WHERE run = ?1";
    let found = transaction.prepare_cached(select).and_then(|mut select| select.query_row([key], |row| row.get(0)));
    found.map_err(|error| read(run, error))
}

pub(super) fn events_of(connection: &Connection, run: &RunId, key: i64) -> Result<Vec<Event>, JournalError> {
    let fail = |error| read(run, error);
    let mut select = connection
        .prepare_cached(
            "SELECT first_seq, last_seq, epoch, checksum, body FROM record WHERE run = ?1 ORDER BY first_seq",
        )
        .map_err(fail)?;
    let mut rows = select.query([key]).map_err(fail)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let number = |at| row.get::<_, u64>(at).map_err(fail);
        let body = row.get_ref(4).map_err(fail)?;
        let body = body.as_bytes().map_err(|error| damaged(run, error.to_string()))?;
        let record = Row { first_seq: number(0)?, last_seq: number(1)?, epoch: number(2)?, body };
        record.decode(run, row.get(3).map_err(fail)?, &mut events)?;
    }
    Ok(events)
}
