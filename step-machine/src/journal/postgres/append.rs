//! What is appended together: one statement, which is one transaction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::types::ToSql;
use serde_json::Value;

use super::error::Fault;
use super::values::{clean, cleaned_text, json, signed};
use crate::event::RunStatus;
use crate::journal::appended::Changes;
use crate::journal::held::Pending;
use crate::journal::record::from_micros;
use crate::journal::{Answer, Lease};
use crate::run_id::RunId;

/// Locks the runs whose leases hold, in one order for all, so that no claim comes in between; and writes to these only.
/// A claim locks `FOR UPDATE`, which keeps these out and waits for them.
const HELD: &str = "WITH held AS MATERIALIZED (
      SELECT run.key, run.epoch FROM run
      JOIN unnest($1::bigint[], $2::bigint[]) AS lease (run, epoch) ON lease.run = run.key AND lease.epoch = run.epoch
      ORDER BY run.key FOR KEY SHARE OF run
    ), written AS (
      INSERT INTO record (run, first_seq, last_seq, epoch, at, percentage, phase, checksum, body)
      SELECT held.key, first_seq, last_seq, held.epoch, at, percentage, phase, checksum, body
      FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::double precision[], $8::text[],
        $9::bigint[], $10::text[])
        AS row (run, first_seq, last_seq, at, percentage, phase, checksum, body)
      JOIN held ON held.key = row.run
    )";

/// The same where rows of runs change too.
const CHANGED: &str = ", change AS (
      SELECT held.key, change.* FROM unnest($11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[],
        $16::timestamptz[], $17::text[], $18::boolean[], $19::text[], $20::text[], $21::boolean[])
        AS change (run, last_seq, workflow, labels, parent, started_at, status, has_error, error, metadata, release)
      JOIN held ON held.key = change.run
    ), changed AS (
      UPDATE run SET workflow = coalesce(change.workflow, run.workflow),
        labels = coalesce(change.labels::jsonb, run.labels), parent = coalesce(change.parent, run.parent),
        started_at = coalesce(change.started_at, run.started_at), status = coalesce(change.status, run.status),
        error = CASE WHEN change.has_error THEN change.error ELSE run.error END,
        metadata = coalesce(change.metadata::jsonb, run.metadata),
        owner = CASE WHEN change.release THEN NULL ELSE run.owner END,
        last_seq = greatest(run.last_seq, change.last_seq)
      FROM change WHERE run.key = change.key
    ), freed AS (
      DELETE FROM exclusive USING change WHERE exclusive.run = change.key AND change.release
    )";

const ANSWER: &str = " SELECT key FROM held";

/// The runs of which a former try has come through.
const DONE: &str = "SELECT record.run FROM record
    JOIN unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS row (run, epoch, first_seq, last_seq)
    ON row.run = record.run AND row.first_seq = record.first_seq
    AND row.last_seq = record.last_seq AND row.epoch = record.epoch";

/// All that a group has of one run.
pub(super) struct Part {
    pub(super) lease: Lease,
    rows: Vec<Pending>,
    changes: Option<Box<Changes>>,
    last_seq: u64,
    pub(super) answers: Vec<Answer<()>>,
}

impl Part {
    /// Whether the lease ends with it.
    pub(super) fn releases(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.release)
    }
}

/// What is appended together.
#[derive(Default)]
pub(super) struct Group {
    parts: Vec<Part>,
    places: HashMap<i64, usize>,
}

impl Group {
    pub(super) fn put(&mut self, lease: Lease, mut row: Pending, answer: Answer<()>) {
        let place = *self.places.entry(lease.key).or_insert_with(|| {
            let (lease, rows, answers) = (lease, Vec::new(), Vec::new());
            self.parts.push(Part { lease, rows, changes: None, last_seq: 0, answers });
            self.parts.len() - 1
        });
        let Some(part) = self.parts.get_mut(place) else { return };
        // Before its checksum is made.
        row.phase = row.phase.map(cleaned_text);
        part.answers.push(answer);
        part.last_seq = part.last_seq.max(row.last);
        match (&mut part.changes, row.changes.take()) {
            (Some(changes), Some(later)) => changes.merge(*later),
            (changes @ None, later) => *changes = later,
            (Some(_), None) => {}
        }
        match part.rows.last_mut() {
            _ if row.first == 0 => {}
            Some(earlier) if earlier.takes(&row) => earlier.merge(row),
            _ => part.rows.push(row),
        }
    }

    pub(super) fn has(&self, run: &RunId) -> bool {
        self.parts.iter().any(|part| part.lease.run == *run)
    }

    pub(super) fn take(&mut self) -> Vec<Part> {
        self.places.clear();
        std::mem::take(&mut self.parts)
    }
}

/// Writes all of it, or nothing; gives the keys of the runs whose leases hold. Those of the others are not written.
pub(super) async fn append(client: &mut Client, parts: &[Part], is_again: bool) -> Result<HashSet<i64>, Fault> {
    let rows = Rows::of(parts);
    if is_again {
        let done = rows.done(client).await?;
        if !done.is_empty() {
            // It is one transaction: what has no rows in it came through as well.
            let bare = parts.iter().filter(|part| part.rows.is_empty()).map(|part| part.lease.key);
            return Ok(done.into_iter().chain(bare).collect());
        }
    }
    let (keys, epochs): (Vec<_>, Vec<_>) = parts.iter().map(|part| (part.lease.key, signed(part.lease.epoch))).unzip();
    let changed = Changed::of(parts);
    let mut values: Vec<Param<'_>> = vec![&keys, &epochs];
    values.extend(rows.params());
    let found = if changed.run.is_empty() {
        let statement = client.prepare_cached(&format!("{HELD}{ANSWER}")).await?;
        client.query(&statement, &values).await?
    } else {
        values.extend(changed.params());
        let statement = client.prepare_cached(&format!("{HELD}{CHANGED}{ANSWER}")).await?;
        client.query(&statement, &values).await?
    };
    Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

type Param<'a> = &'a (dyn ToSql + Sync);

/// The columns of the rows.
#[derive(Default)]
struct Rows<'a> {
    run: Vec<i64>,
    epoch: Vec<i64>,
    first_seq: Vec<i64>,
    last_seq: Vec<i64>,
    at: Vec<SystemTime>,
    percentage: Vec<f64>,
    phase: Vec<Option<&'a str>>,
    checksum: Vec<i64>,
    body: Vec<&'a str>,
}

impl<'a> Rows<'a> {
    fn of(parts: &'a [Part]) -> Self {
        let mut rows = Self::default();
        for part in parts {
            for row in &part.rows {
                rows.put(row);
            }
        }
        rows
    }

    fn put(&mut self, row: &'a Pending) {
        self.run.push(row.key);
        self.epoch.push(signed(row.epoch));
        self.first_seq.push(signed(row.first));
        self.last_seq.push(signed(row.last));
        self.at.push(from_micros(row.at_us));
        self.percentage.push(row.percentage);
        self.phase.push(row.phase.as_deref());
        self.checksum.push(row.checksum().unwrap_or(0).into());
        self.body.push(&row.body);
    }

    fn params(&self) -> [Param<'_>; 8] {
        [
            &self.run,
            &self.first_seq,
            &self.last_seq,
            &self.at,
            &self.percentage,
            &self.phase,
            &self.checksum,
            &self.body,
        ]
    }

    async fn done(&self, client: &Client) -> Result<HashSet<i64>, Fault> {
        let statement = client.prepare_cached(DONE).await?;
        let found = client.query(&statement, &[&self.run, &self.epoch, &self.first_seq, &self.last_seq]).await?;
        Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}

/// The columns of what changes in the rows of runs.
#[derive(Default)]
struct Changed<'a> {
    run: Vec<i64>,
    last_seq: Vec<i64>,
    workflow: Vec<Option<Cow<'a, str>>>,
    labels: Vec<Option<String>>,
    parent: Vec<Option<String>>,
    started_at: Vec<Option<SystemTime>>,
    status: Vec<Option<&'static str>>,
    has_error: Vec<bool>,
    error: Vec<Option<Cow<'a, str>>>,
    metadata: Vec<Option<String>>,
    release: Vec<bool>,
}

impl<'a> Changed<'a> {
    fn of(parts: &'a [Part]) -> Self {
        let mut columns = Self::default();
        for part in parts {
            if let Some(changes) = &part.changes {
                columns.put(part, changes);
            }
        }
        columns
    }

    fn put(&mut self, part: &Part, changes: &'a Changes) {
        let start = changes.start.as_ref();
        let digest = &changes.digest;
        self.run.push(part.lease.key);
        self.last_seq.push(signed(part.last_seq));
        self.workflow.push(start.map(|start| clean(&start.workflow)));
        self.labels.push(start.map(|start| json(serde_json::json!(start.labels))));
        self.parent.push(start.and_then(|start| start.parent.as_ref()).map(ToString::to_string));
        self.started_at.push(start.map(|start| start.started_at));
        self.status.push(digest.status.map(RunStatus::as_str));
        self.has_error.push(digest.error.is_some());
        self.error.push(digest.error.as_ref().and_then(|error| error.as_deref()).map(clean));
        self.metadata.push(changes.metadata.as_ref().map(|metadata| json(Value::Object(metadata.clone()))));
        self.release.push(changes.release);
    }

    fn params(&self) -> [Param<'_>; 11] {
        [
            &self.run,
            &self.last_seq,
            &self.workflow,
            &self.labels,
            &self.parent,
            &self.started_at,
            &self.status,
            &self.has_error,
            &self.error,
            &self.metadata,
            &self.release,
        ]
    }
}
