//! Finding runs: by their columns and their last row, never by reading one.

use std::path::Path;

use rusqlite::types::{Type, Value as Sql};
use rusqlite::{Connection, Error, Row};
use serde::de::DeserializeOwned;

use super::claims::owner_of;
use super::error::store;
use crate::event::RunStatus;
use crate::journal::record::{from_micros, id_check, micros};
use crate::journal::{Abandoned, JournalError, RunQuery, RunSummary};
use crate::run_id::RunId;

const SELECT: &str = "SELECT run.id, run.workflow, run.status, last.phase, last.percentage, run.labels, run.metadata,
    run.started_at, last.at_us, run.parent, run.error, run.abandoned_why, run.abandoned_at,
    run.id_check, run.owner, owner.host, owner.pid, owner.since
    FROM run
    JOIN record AS last
    ON last.id = (SELECT id FROM record WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1)
    LEFT JOIN owner ON owner.key = run.owner
    WHERE run.workflow IS NOT NULL";

pub(super) fn list(connection: &Connection, path: &Path, query: &RunQuery) -> Result<Vec<RunSummary>, JournalError> {
    try_list(connection, query).map_err(|error| store(path, error))
}

fn try_list(connection: &Connection, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
    let (text, values) = statement(query);
    let mut select = connection.prepare(&text)?;
    select
        .query_map(rusqlite::params_from_iter(values), |row| summary(row).or_else(|error| legible(row, error)))?
        .collect()
}

/// The query as SQL, and what stands for its question marks.
fn statement(query: &RunQuery) -> (String, Vec<Sql>) {
    let mut text = SELECT.to_owned();
    let mut values = Vec::new();
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

fn summary(row: &Row<'_>) -> Result<RunSummary, Error> {
    let owner = row.get::<_, Option<i64>>(14)?.map(|_| owner_of(row, 15)).transpose()?;
    let abandoned = match (row.get::<_, Option<String>>(11)?, row.get::<_, Option<String>>(12)?) {
        (Some(why), Some(at)) => Some(Abandoned::new(why, time(&at, 12)?)),
        _ => None,
    };
    let run = RunId::from(row.get::<_, String>(0)?);
    if id_check(&run) != row.get::<_, u32>(13)? {
        let error = format!("the id `{run}` is not as it was written");
        return Err(Error::FromSqlConversionFailure(0, Type::Text, error.into()));
    }
    Ok(RunSummary {
        run,
        workflow: row.get(1)?,
        status: parsed(&format!("{:?}", row.get::<_, String>(2)?), 2)?,
        phase: row.get(3)?,
        percentage: row.get(4)?,
        labels: parsed(&row.get::<_, String>(5)?, 5)?,
        metadata: parsed(&row.get::<_, String>(6)?, 6)?,
        started_at: time(&row.get::<_, String>(7)?, 7)?,
        updated_at: from_micros(row.get(8)?),
        parent: row.get::<_, Option<String>>(9)?.map(Into::into),
        error: row.get(10)?,
        owner,
        abandoned,
    })
}

/// What can be read of a run of which not all can: one such run is not to hide the others.
fn legible(row: &Row<'_>, error: Error) -> Result<RunSummary, Error> {
    use Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    if !matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)) {
        return Err(error);
    }
    let text = |at| row.get_ref(at).ok()?.as_str().ok().map(str::to_owned);
    let updated_at = from_micros(row.get(8).unwrap_or_default());
    let moment = |at| text(at).and_then(|text| time(&text, at).ok()).unwrap_or(updated_at);
    Ok(RunSummary {
        run: text(0).unwrap_or_default().into(),
        workflow: text(1).unwrap_or_default(),
        // It is to be looked at, and so is no run that has ended.
        status: text(2).and_then(|word| parsed(&format!("{word:?}"), 2).ok()).unwrap_or(RunStatus::Running),
        phase: text(3),
        percentage: row.get(4).unwrap_or_default(),
        labels: text(5).and_then(|labels| parsed(&labels, 5).ok()).unwrap_or_default(),
        metadata: text(6).and_then(|metadata| parsed(&metadata, 6).ok()).unwrap_or_default(),
        started_at: moment(7),
        updated_at,
        parent: text(9).map(Into::into),
        error: Some(format!("what the journal has of it cannot be read: {error}")),
        owner: None,
        abandoned: text(11).map(|why| Abandoned::new(why, moment(12))),
    })
}

fn parsed<T: DeserializeOwned>(text: &str, column: usize) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn time(text: &str, column: usize) -> Result<std::time::SystemTime, Error> {
    humantime::parse_rfc3339(text).map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
