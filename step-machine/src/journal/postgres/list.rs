//! Finding runs: by their columns and their last row, never by reading one.

use std::fmt::Write as _;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::ToSql;

use super::claims::owner_of;
use super::error::Fault;
use super::server::Try;
use super::values::json;
use crate::journal::columns::Columns;
use crate::journal::{RunQuery, RunSummary};
use crate::time::timestamp;

/// A run that was claimed and has no event yet is none. One without rows, or without a workflow, is damaged.
const SELECT: &str = "SELECT run.id, run.workflow, run.status, last.phase, last.percentage, run.labels::text,
    run.metadata::text, run.started_at, last.at, run.parent, run.error, run.abandoned_why, run.abandoned_at,
    owner.key, owner.host, owner.pid, owner.since
    FROM run
    LEFT JOIN LATERAL (
      SELECT record.phase, record.percentage, record.at FROM record
      WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1
    ) AS last ON TRUE
    LEFT JOIN owner ON owner.key = run.owner
    WHERE (run.workflow IS NOT NULL OR last.at IS NOT NULL)";

pub(super) async fn list(client: &Client, this: &Try, query: &RunQuery) -> Result<Vec<RunSummary>, Fault> {
    let (text, values) = statement(query);
    let values = values.iter().map(|value| &**value as &(dyn ToSql + Sync));
    let rows = this.rows(client.query_raw(&text, values).await?).await?;
    Ok(rows.iter().map(summary).collect())
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
    text.push_str(if query.last_begun_first { " ORDER BY run.key DESC" } else { " ORDER BY last.at DESC NULLS LAST" });
    if let Some(limit) = query.limit {
        values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let _ = write!(text, " LIMIT ${}", values.len());
    }
    (text, values)
}

fn summary(row: &Row) -> RunSummary {
    let owner = row.try_get::<_, Option<i64>>(13).and_then(|key| key.map(|_| owner_of(row, 14)).transpose());
    let columns = Columns {
        run: row.try_get(0),
        workflow: row.try_get(1),
        status: row.try_get(2),
        phase: row.try_get(3),
        percentage: row.try_get(4),
        labels: row.try_get(5),
        metadata: row.try_get(6),
        started_at: row.try_get(7),
        updated_at: row.try_get(8),
        parent: row.try_get(9),
        error: row.try_get(10),
        owner,
        abandoned_why: row.try_get(11),
        abandoned_at: row.try_get(12),
    };
    columns.summary(None)
}
