//! Reading a run.

use rusqlite::{Connection, Error, OptionalExtension, Transaction};

use super::error::read;
use super::job::Fault;
use super::places::Behind;
use crate::event::Event;
use crate::journal::JournalError;
use crate::journal::error::damaged;
use crate::journal::record::{Row, id_check};
use crate::run_id::RunId;

/// All events of a run; none where it is not there. Of one that `was_given_back` before it was claimed its own row tells
/// the last.
pub(super) fn load(
    connection: &mut Connection,
    behind: &mut Behind,
    run: &RunId,
    was_given_back: bool,
) -> Result<Vec<Event>, JournalError> {
    // All that is read is of one moment.
    let transaction = connection.transaction().map_err(|error| read(run, error))?;
    load_within(&transaction, behind, run, was_given_back)
}

pub(super) fn load_within(
    transaction: &Transaction<'_>,
    behind: &mut Behind,
    run: &RunId,
    was_given_back: bool,
) -> Result<Vec<Event>, JournalError> {
    let Some(found) = find(transaction, run).map_err(|error| read(run, error))? else {
        check_unknown(transaction, run).map_err(|error| match error {
            Fault::Alone(error) => error,
            Fault::Store(error) => read(run, error),
        })?;
        return Ok(Vec::new());
    };
    let events = events_of(transaction, behind, run, found.key)?;
    let is_end_open = found.is_driven && !(was_given_back && behind.is_damaged());
    if is_end_open && behind.is_damaged() {
        // Its last rows may be among those, and its own row need not tell.
        return Err(damaged(run, "some of the newest rows of all runs cannot be read"));
    }
    let last = found.last_seq.max(if is_end_open { newest(transaction, run, found.key)? } else { 0 });
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
/// crash, and were the places of rows damaged just there, its end would seem to be an earlier one.
fn newest(transaction: &Transaction<'_>, run: &RunId, key: i64) -> Result<u64, JournalError> {
    let select = "SELECT coalesce(max(last_seq), 0)
        FROM (SELECT run, last_seq FROM record NOT INDEXED ORDER BY id DESC LIMIT 1024) WHERE run = ?1";
    let found = transaction.prepare_cached(select).and_then(|mut select| select.query_row([key], |row| row.get(0)));
    found.map_err(|error| read(run, error))
}

const PLACED: &str = "SELECT first_seq, last_seq, epoch, at_us, percentage, phase, checksum, body
    FROM place JOIN record ON record.id = place.record WHERE place.run = ?1 AND place.record <= ?2
    ORDER BY place.record";

const BEHIND: &str = "SELECT first_seq, last_seq, epoch, at_us, percentage, phase, checksum, body
    FROM record WHERE run = ?1 AND id = ?2";

fn events_of(connection: &Connection, behind: &mut Behind, run: &RunId, key: i64) -> Result<Vec<Event>, JournalError> {
    let (upto, behind) = behind.of(key, connection).map_err(|error| read(run, error))?;
    let mut events = Vec::new();
    decode(connection, PLACED, [key, upto], run, &mut events)?;
    for id in behind {
        decode(connection, BEHIND, [key, *id], run, &mut events)?;
    }
    Ok(events)
}

/// Reads the events of the rows that a query finds.
fn decode(
    connection: &Connection,
    select: &str,
    values: [i64; 2],
    run: &RunId,
    events: &mut Vec<Event>,
) -> Result<(), JournalError> {
    let fail = |error| read(run, error);
    let mut select = connection.prepare_cached(select).map_err(fail)?;
    let mut rows = select.query(values).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let (record, checksum) = record_of(row, 0).map_err(fail)?;
        record.decode(run, checksum, events)?;
    }
    Ok(())
}

/// The columns of a row of events from the column `at` on, and its checksum.
pub(super) fn record_of<'a>(row: &'a rusqlite::Row<'_>, at: usize) -> Result<(Row<'a>, i64), Error> {
    let (phase, body) = (row.get_ref(at + 5)?, row.get_ref(at + 7)?);
    let of_no_text = |error| Error::FromSqlConversionFailure(at + 7, body.data_type(), Box::new(error));
    let record = Row {
        first_seq: row.get(at)?,
        last_seq: row.get(at + 1)?,
        epoch: row.get(at + 2)?,
        at_us: row.get(at + 3)?,
        percentage: row.get(at + 4)?,
        phase: phase.as_bytes_or_null().map_err(of_no_text)?,
        body: body.as_bytes().map_err(of_no_text)?,
    };
    Ok((record, row.get(at + 6)?))
}
