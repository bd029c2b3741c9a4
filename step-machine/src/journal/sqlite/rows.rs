//! The rows that one commit adds: for each run all that it brought meanwhile, in one.

use std::collections::HashMap;
use std::time::SystemTime;

use rusqlite::{Connection, Error, Statement, params};
use serde_json::Value;

use super::places::Places;
use crate::event::RunStatus;
use crate::journal::Lease;
use crate::journal::appended::{Appended, Changes};
use crate::journal::held::Pending;

/// What the body of a row has at most to which a later commit adds. A page of 4,096 bytes takes a row of 4,061 whole
/// (<https://www.sqlite.org/fileformat2.html>, 1.6); the other columns have 47 and a phase, usually. One that does
/// not fit takes longer.
const FULL_BODY: usize = 3_980;

/// So many rows have room from one commit to the next.
const MOST_KEPT: usize = 1_024;

/// In the order in which their runs first came.
#[derive(Default)]
pub(super) struct Rows {
    new: Vec<Pending>,
    /// Where the row of a run stands, by its key.
    indices: HashMap<i64, usize>,
    /// What a run wrote last that was alone: what it brings next is put to it, and so changes a single page.
    open: Option<Open>,
    pub(super) places: Places,
}

/// A row that was written and is not full.
struct Open {
    id: i64,
    row: Pending,
}

impl Rows {
    /// Puts a row behind those that are there, or to the one of its run.
    pub(super) fn put(&mut self, row: Pending, connection: &Connection) -> Result<(), Error> {
        if let Some(earlier) = self.indices.get(&row.key).and_then(|index| self.new.get_mut(*index)) {
            if earlier.takes(&row) {
                earlier.merge(row);
                return Ok(());
            }
            self.flush(connection)?;
        }
        self.indices.insert(row.key, self.new.len());
        self.new.push(row);
        Ok(())
    }

    /// Forgets what was not written, and what may be taken back.
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.indices.clear();
        self.open = None;
        self.places.clear();
    }

    /// Whether the last row takes what is appended.
    pub(super) fn has_room(&self, append: &Appended) -> bool {
        let Lease { key, epoch, .. } = append.lease;
        self.open.as_ref().is_some_and(|open| open.has_room((key, epoch), &append.body))
    }

    /// Writes it to the last row; `false` where that, or the lease under which it was written, is there no more.
    pub(super) fn add(&mut self, later: Pending, connection: &Connection) -> Result<bool, Error> {
        if let Some(open) = self.open.take() {
            self.places.count(later.body.len());
            self.open = open.add(later, connection)?;
        }
        Ok(self.open.is_some())
    }

    /// Writes them.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), Error> {
        if self.new.is_empty() {
            return Ok(());
        }
        let is_alone = self.new.len() == 1;
        // Once for all of them: to find it in the cache costs as much as a tenth of a row.
        let mut insert = connection.prepare_cached(
            "INSERT INTO record (id, run, first_seq, last_seq, epoch, at_us, percentage, phase, checksum, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        for mut row in self.new.drain(..) {
            let (key, last, changes) = (row.key, row.last, row.changes.take());
            if row.first > 0 {
                let open = self.open.take().filter(|open| is_alone && open.has_room((key, row.epoch), &row.body));
                let written = match open {
                    Some(open) => {
                        self.places.count(row.body.len());
                        open.add(row, connection)?.ok_or(Error::StatementChangedRows(0))?
                    }
                    None => {
                        let id = self.places.take(connection, row.body.len())?;
                        add(&mut insert, id, &row)?;
                        Open { id, row }
                    }
                };
                self.open = is_alone.then_some(written);
            }
            if let Some(changes) = changes {
                change(connection, key, last, *changes)?;
            }
        }
        self.indices.clear();
        // Of the room for a large commit most is given back.
        self.new.shrink_to(MOST_KEPT);
        self.indices.shrink_to(MOST_KEPT);
        Ok(())
    }
}

impl Open {
    fn has_room(&self, lease: (i64, u64), more: &str) -> bool {
        self.row.has_room(lease, more, FULL_BODY)
    }

    /// Writes what comes later to it. `None` where the row, or the lease under which it was written, is there no more:
    /// once a run is pruned, its rows' ids may be given to others.
    fn add(mut self, later: Pending, connection: &Connection) -> Result<Option<Self>, Error> {
        self.row.merge(later);
        let mut update = connection.prepare_cached(
            "UPDATE record SET last_seq = ?2, at_us = ?3, percentage = ?4, phase = ?5, checksum = ?6,
            body = ?7 WHERE id = ?1 AND run = ?8 AND epoch = (SELECT epoch FROM run WHERE key = ?8)",
        )?;
        let Pending { key, last, at_us, percentage, phase, body, .. } = &self.row;
        let values = params![self.id, last, at_us, percentage, phase, self.row.checksum(), body, key];
        let changed = update.execute(values)?;
        Ok((changed == 1).then_some(self))
    }
}

/// Writes a row.
fn add(insert: &mut Statement<'_>, id: i64, row: &Pending) -> Result<(), Error> {
    let Pending { key, epoch, first, last, at_us, percentage, phase, body, .. } = row;
    insert.execute(params![id, key, first, last, epoch, at_us, percentage, phase, row.checksum(), body]).map(drop)
}

/// Writes what changes in the row of a run.
fn change(connection: &Connection, key: i64, last: u64, changes: Changes) -> Result<(), Error> {
    let Changes { start, digest, metadata, release } = changes;
    let start = start.as_ref();
    let mut update = connection.prepare_cached(
        "UPDATE run SET workflow = coalesce(?2, workflow), labels = coalesce(?3, labels),
        parent = coalesce(?4, parent), started_at = coalesce(?5, started_at), status = coalesce(?6, status),
        error = CASE WHEN ?7 THEN ?8 ELSE error END, metadata = coalesce(?9, metadata),
        owner = CASE WHEN ?10 THEN NULL ELSE owner END, last_seq = max(last_seq, ?11)
        WHERE key = ?1",
    )?;
    update.execute(params![
        key,
        start.map(|start| &start.workflow),
        start.map(|start| serde_json::json!(start.labels).to_string()),
        start.and_then(|start| start.parent.as_ref()).map(ToString::to_string),
        start.map(|start| text(start.started_at)),
        digest.status.map(RunStatus::as_str),
        digest.error.is_some(),
        digest.error.flatten(),
        metadata.map(|metadata| Value::Object(metadata).to_string()),
        release,
        last,
    ])?;
    Ok(())
}

/// RFC 3339 text, as in events.
pub(super) fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
