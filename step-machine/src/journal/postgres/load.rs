//! Reading a run.

use deadpool_postgres::tokio_postgres::{self, IsolationLevel};
use deadpool_postgres::{Client, Transaction};

use super::error::Fault;
use super::server::Try;
use super::values::unsigned;
use crate::event::Event;
use crate::journal::error::damaged;
use crate::journal::record::{Row, micros};
use crate::run_id::RunId;

/// So many rows are in memory beside the events.
const PAGE: i64 = 256;

/// All events of a run; none where it is not there.
pub(super) async fn load(client: &mut Client, this: &Try, run: &RunId) -> Result<Vec<Event>, Fault> {
    // All that is read is of one moment.
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let statement = transaction.prepare_cached("SELECT key, last_seq FROM run WHERE id = $1").await?;
    let Some(found) = transaction.query_opt(&statement, &[&run.to_string()]).await? else { return Ok(Vec::new()) };
    let last_seq = unsigned(found.try_get(1)?);
    let mut events = Vec::new();
    while add_page(&transaction, this, run, found.try_get(0)?, &mut events).await? {}
    transaction.commit().await?;
    if events.last().map_or(0, |event| event.seq) < last_seq {
        return Err(Fault::Alone(damaged(run, format!("event {last_seq} is missing"))));
    }
    Ok(events)
}

/// Whether there are more.
async fn add_page(
    transaction: &Transaction<'_>,
    this: &Try,
    run: &RunId,
    key: i64,
    events: &mut Vec<Event>,
) -> Result<bool, Fault> {
    let statement = transaction
        .prepare_cached(
            "SELECT first_seq, last_seq, epoch, at, percentage, phase, checksum, body FROM record
            WHERE run = $1 AND first_seq > $2 ORDER BY first_seq LIMIT $3",
        )
        .await?;
    let after = super::values::signed(events.last().map_or(0, |event| event.seq));
    let rows = this.rows(transaction.query_raw(&statement, [key, after, PAGE]).await?).await?;
    for row in &rows {
        let (record, checksum) = record_of(row, 0)?;
        record.decode(run, checksum, events)?;
    }
    Ok(i64::try_from(rows.len()) == Ok(PAGE))
}

/// The columns of a row of events from the column `at` on, and its checksum.
pub(super) fn record_of(row: &tokio_postgres::Row, at: usize) -> Result<(Row<'_>, i64), tokio_postgres::Error> {
    let number = |at| row.try_get::<_, i64>(at).map(unsigned);
    let record = Row {
        first_seq: number(at)?,
        last_seq: number(at + 1)?,
        epoch: number(at + 2)?,
        at_us: micros(row.try_get(at + 3)?),
        percentage: row.try_get(at + 4)?,
        phase: row.try_get::<_, Option<&str>>(at + 5)?.map(str::as_bytes),
        body: row.try_get::<_, &str>(at + 7)?.as_bytes(),
    };
    Ok((record, row.try_get(at + 6)?))
}
