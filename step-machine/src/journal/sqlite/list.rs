//! Finding runs: by their columns and their last row, never by reading one.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::types::{Type, Value as Sql};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::claims::owner_of;
use super::error::store;
use super::places::{Behind, WITH_LAST};
use crate::journal::columns::Columns;
use crate::journal::record::{from_micros, id_check, micros};
use crate::journal::{JournalError, RunQuery, RunSummary};
use crate::run_id::RunId;

const BEHIND: &str = "WITH behind (run, record) AS MATERIALIZED (
    SELECT CAST(key AS INTEGER), value FROM json_each(?1))";

/// A run that was claimed and has no event yet is none. One without rows, or without a workflow, is damaged.
const RUNS: &str = "SELECT run.id, run.workflow, run.status, last.phase, last.percentage, run.labels, run.metadata,
    run.started_at, last.at_us, run.parent, run.error, run.abandoned_why, run.abandoned_at,
    run.id_check, run.owner, owner.host, owner.pid, owner.since
    FROM run";

const THAT_BEGAN: &str = "LEFT JOIN owner ON owner.key = run.owner
    WHERE (run.workflow IS NOT NULL OR last.id IS NOT NULL)";

pub(super) fn list(
    connection: &mut Connection,
    behind: &mut Behind,
    path: &Path,
    query: &RunQuery,
) -> Result<Vec<RunSummary>, JournalError> {
    try_list(connection, behind, query).map_err(|error| store(path, error))
}

fn try_list(connection: &mut Connection, behind: &mut Behind, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
    // All that is read is of one moment.
    let transaction = connection.transaction()?;
    let (text, values) = statement(query, behind.last_of_each(&transaction)?);
    let mut select = transaction.prepare(&text)?;
    select
        .query_map(rusqlite::params_from_iter(values), |row| {
            let (columns, fault) = columns(row);
            Ok(columns.summary(fault))
        })?
        .collect()
}

/// What the list has of the run of this key, and what of that cannot be read; `None` where it is none.
pub(super) fn row_of(
    connection: &Connection,
    behind: &mut Behind,
    key: i64,
) -> Result<Option<(RunSummary, Option<String>)>, Error> {
    let (_, behind) = behind.of(key, connection)?;
    let with_last = "LEFT JOIN record AS last
        ON last.id = coalesce(?2, (SELECT max(record) FROM place WHERE place.run = run.key))";
    connection
        .prepare_cached(&format!("{RUNS} {with_last} {THAT_BEGAN} AND run.key = ?1"))?
        .query_row((key, behind.last()), |row| {
            let (columns, fault) = columns(row);
            Ok(columns.read(fault))
        })
        .optional()
}

/// The query as SQL, and what stands for its question marks; `behind` has the last row of each run that is not placed.
fn statement(query: &RunQuery, behind: String) -> (String, Vec<Sql>) {
    let mut text = format!("{BEHIND} {RUNS} {WITH_LAST} {THAT_BEGAN}");
    let mut values = vec![behind.into()];
    let mut and = |condition: &str, bound: Vec<Sql>| {
        text.push_str(" AND ");
        text.push_str(condition);
        values.extend(bound);
    };
    if let Some(run) = &query.run {
        and("run.id = ?", vec![run.to_string().into()]);
    }
    if let Some(workflow) = &query.workflow {
        and("run.workflow = ?", vec![workflow.clone().into()]);
    }
    if !query.statuses.is_empty() {
        // The words stand in the text itself, where SQLite sees that the index of unfinished runs has them all.
        let words: Vec<String> = query.statuses.iter().map(|status| format!("'{status}'")).collect();
        and(&format!("run.status IN ({})", words.join(", ")), Vec::new());
    }
    for (key, value) in &query.labels {
        let condition = "json_valid(run.labels)
            AND EXISTS (SELECT 1 FROM json_each(run.labels) WHERE key = ? AND value = ?)";
        and(condition, vec![key.clone().into(), value.clone().into()]);
    }
    if let Some(since) = query.silent_since {
        and("last.at_us <= ?", vec![micros(since).into()]);
    }
    if !query.nested {
        and("run.parent IS NULL", Vec::new());
    }
    if !query.abandoned {
        and("run.abandoned_at IS NULL", Vec::new());
    }
    text.push_str(if query.last_begun_first { " ORDER BY run.key DESC" } else { " ORDER BY last.at_us DESC" });
    if let Some(limit) = query.limit {
        text.push_str(" LIMIT ?");
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    }
    (text, values)
}

/// The columns of a row, and what is known to be wrong with it.
fn columns(row: &Row<'_>) -> (Columns<Error>, Option<String>) {
    let run = row.get::<_, String>(0);
    let is_its_own = |run: &String| row.get(13).is_ok_and(|check: u32| check == id_check(&RunId::from(run.as_str())));
    let fault =
        run.as_ref().ok().filter(|run| !is_its_own(run)).map(|run| format!("the id `{run}` is not as it was written"));
    let columns = Columns {
        run,
        workflow: row.get(1),
        status: row.get(2),
        phase: row.get(3),
        percentage: row.get(4),
        labels: row.get(5),
        metadata: row.get(6),
        started_at: time(row, 7),
        updated_at: row.get::<_, Option<i64>>(8).map(|at| at.map(from_micros)),
        parent: row.get(9),
        error: row.get(10),
        owner: row.get::<_, Option<i64>>(14).and_then(|key| key.map(|_| owner_of(row, 15)).transpose()),
        abandoned_why: row.get(11),
        abandoned_at: time(row, 12),
    };
    (columns, fault)
}

fn time(row: &Row<'_>, column: usize) -> Result<Option<SystemTime>, Error> {
    let text: Option<String> = row.get(column)?;
    let parsed = text.map(|text| humantime::parse_rfc3339(&text)).transpose();
    parsed.map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
