//! Finding runs: by their columns and their last row, never by reading one.

use std::fmt::Write as _;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::ToSql;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::claims::owner_of;
use super::error::{Fault, unusable};
use super::values::json;
use crate::journal::{Abandoned, RunQuery, RunSummary};
use crate::time::timestamp;

const SELECT: &str = "SELECT run.id, run.workflow, run.status, last.phase, last.percentage, run.labels::text,
    run.metadata::text, run.started_at, last.at, run.parent, run.error, run.abandoned_why, run.abandoned_at,
    owner.key, owner.host, owner.pid, owner.since
    FROM run
    CROSS JOIN LATERAL (
      SELECT record.phase, record.percentage, record.at FROM record
      WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1
    ) AS last
    LEFT JOIN owner ON owner.key = run.owner
    WHERE run.workflow IS NOT NULL";

pub(super) async fn list(client: &Client, journal: &str, query: &RunQuery) -> Result<Vec<RunSummary>, Fault> {
    let (text, values) = statement(query);
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let rows = client.query(&text, &values).await?;
    rows.iter().map(|row| summary(row, journal)).collect()
}

type Values = Vec<Box<dyn ToSql + Sync>>;

/// The query as SQL, and what stands for its numbers.
fn statement(query: &RunQuery) -> (String, Values) {
    let mut text = SELECT.to_owned();
    let mut values: Values = Vec::new();
    let mut and = |condition: &str, bound: Box<dyn ToSql + Sync>| {
        values.push(bound);
        text.push_str(" AND ");
        text.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    if let Some(run) = &query.run {
        and("run.id = ?", Box::new(run.to_string()));
    }
    if let Some(workflow) = &query.workflow {
        and("run.workflow = ?", Box::new(workflow.clone()));
    }
    if !query.labels.is_empty() {
        and("run.labels @> ?::text::jsonb", Box::new(json(serde_json::json!(query.labels))));
    }
    if let Some(since) = query.silent_since {
        and("last.at <= ?", Box::new(timestamp(since)));
    }
    if !query.statuses.is_empty() {
        // The words stand in the text itself, where the server sees that the index of unfinished runs has them all.
        let words: Vec<String> = query.statuses.iter().map(|status| format!("'{status}'")).collect();
        // Writing to a text cannot fail.
        let _ = write!(text, " AND run.status IN ({})", words.join(", "));
    }
    if !query.nested {
        text.push_str(" AND run.parent IS NULL");
    }
    if !query.abandoned {
        text.push_str(" AND run.abandoned_at IS NULL");
    }
    text.push_str(if query.last_begun_first { " ORDER BY run.key DESC" } else { " ORDER BY last.at DESC" });
    if let Some(limit) = query.limit {
        values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let _ = write!(text, " LIMIT ${}", values.len());
    }
    (text, values)
}

fn summary(row: &Row, journal: &str) -> Result<RunSummary, Fault> {
    let owner = row.try_get::<_, Option<i64>>(13)?.map(|_| owner_of(row, 14)).transpose()?;
    let abandoned = match (row.try_get::<_, Option<String>>(11)?, row.try_get(12)?) {
        (Some(why), Some(at)) => Some(Abandoned::new(why, at)),
        _ => None,
    };
    Ok(RunSummary {
        run: row.try_get::<_, String>(0)?.into(),
        workflow: row.try_get(1)?,
        status: parsed(Value::from(row.try_get::<_, String>(2)?), journal)?,
        phase: row.try_get(3)?,
        percentage: row.try_get(4)?,
        labels: parsed_text(row.try_get(5)?, journal)?,
        metadata: parsed_text(row.try_get(6)?, journal)?,
        started_at: row.try_get(7)?,
        updated_at: row.try_get(8)?,
        parent: row.try_get::<_, Option<String>>(9)?.map(Into::into),
        error: row.try_get(10)?,
        owner,
        abandoned,
    })
}

fn parsed<T: DeserializeOwned>(value: Value, journal: &str) -> Result<T, Fault> {
    serde_json::from_value(value).map_err(|error| not_ours(journal, error))
}

fn parsed_text<T: DeserializeOwned>(text: &str, journal: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| not_ours(journal, error))
}

fn not_ours(journal: &str, error: serde_json::Error) -> Fault {
    Fault::Alone(unusable(journal, "its rows are not those of a journal; restore it from a copy", Box::new(error)))
}
