//! Reading a run.

use rusqlite::{Connection, Error, OptionalExtension, Transaction};

use super::error::read;
use crate::event::Event;
use crate::journal::JournalError;
use crate::journal::error::damaged;
use crate::journal::record::Row;
use crate::run_id::RunId;

/// All events of a run; none where it is not there.
pub(super) fn load(connection: &mut Connection, run: &RunId) -> Result<Vec<Event>, JournalError> {
    // All that is read is of one moment.
    let transaction = connection.transaction().map_err(|error| read(run, error))?;
    let Some((key, last_seq)) = find(&transaction, run).map_err(|error| read(run, error))? else {
        return Ok(Vec::new());
    };
    let events = events_of(&transaction, run, key)?;
    if events.last().map_or(0, |event| event.seq) < last_seq {
        return Err(damaged(run, format!("event {last_seq} is missing")));
    }
    Ok(events)
}

fn find(transaction: &Transaction<'_>, run: &RunId) -> Result<Option<(i64, u64)>, Error> {
    transaction
        .prepare_cached("SELECT key, last_seq FROM run WHERE id = ?1")?
        .query_row([run.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
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
