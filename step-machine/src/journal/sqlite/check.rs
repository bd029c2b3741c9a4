//! Looking through the whole journal.

use std::fmt;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Error, OptionalExtension};

use super::error::{is_damage, store};
use super::list::row_of;
use super::load::load_within;
use super::places::{Behind, try_upto};
use crate::event::Event;
use crate::journal::columns::unreadable;
use crate::journal::{JournalError, RunSummary};
use crate::run_id::RunId;
use crate::state::RunState;

/// Something that is wrong in a journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The run; `None` where it is about the database as a whole.
    pub run: Option<RunId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Finding {
    fn of_all(what: String) -> Self {
        Self { run: None, what }
    }
}

/// Rows that belong to one that is not there, and others that are not where they are looked for.
const LOST: [&str; 4] = [
    "SELECT format('rows of `%s` that belong to a missing row of `%s`: %d', \"table\", parent, count(*))
    FROM pragma_foreign_key_check GROUP BY \"table\", parent",
    "SELECT format('rows of `record` that belong to a missing row of `run`: %d', count(*)) FROM record
    WHERE run NOT IN (SELECT key FROM run) HAVING count(*) > 0",
    "SELECT format('rows of `record` that `place` does not have: %d', count(*)) FROM record
    WHERE id <= (SELECT upto FROM placed) AND (run, id) NOT IN (SELECT run, record FROM place) HAVING count(*) > 0",
    "SELECT format('rows of `place` without one of `record`: %d', count(*)) FROM place
    WHERE (run, record) NOT IN (SELECT run, id FROM record) HAVING count(*) > 0",
];

/// All that is wrong: in the database as SQLite sees it, and in each run.
pub(super) fn check(
    connection: &mut Connection,
    behind: &mut Behind,
    path: &Path,
) -> Result<Vec<Finding>, JournalError> {
    let mut findings = Vec::new();
    let texts = column(connection, path, "PRAGMA integrity_check", &mut findings)?;
    findings.extend(texts.into_iter().filter(|text| text != "ok").map(Finding::of_all));
    if try_upto(connection).map_err(|error| store(path, error))?.is_none() {
        findings.push(Finding::of_all("what says how far rows are placed is not as it was written".to_owned()));
    }
    for select in LOST {
        let texts = column(connection, path, select, &mut findings)?;
        findings.extend(texts.into_iter().map(Finding::of_all));
    }
    for key in column(connection, path, "SELECT key FROM run ORDER BY key", &mut findings)? {
        match check_run(connection, behind, key, &mut findings) {
            Err(error) if is_damage(&error) => {
                findings.push(Finding::of_all(format!("the run of the key {key}: the database says: {error}")));
            }
            checked => checked.map_err(|error| store(path, error))?,
        }
    }
    Ok(findings)
}

/// What a query finds, up to where the database is damaged.
fn column<T: FromSql>(
    connection: &Connection,
    path: &Path,
    select: &str,
    findings: &mut Vec<Finding>,
) -> Result<Vec<T>, JournalError> {
    let mut found = Vec::new();
    let read = |found: &mut Vec<T>| {
        let mut select = connection.prepare(select)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
        }
        Ok(())
    };
    match read(&mut found) {
        Err(error) if is_damage(&error) => findings.push(Finding::of_all(format!("the database says: {error}"))),
        read => read.map_err(|error| store(path, error))?,
    }
    Ok(found)
}

/// What is wrong with its events, and with what the lists say of it.
fn check_run(
    connection: &mut Connection,
    behind: &mut Behind,
    key: i64,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    // All that is read is of one moment.
    let transaction = connection.transaction()?;
    let id = transaction
        .prepare_cached("SELECT id FROM run WHERE key = ?1")?
        .query_row([key], |row| Ok(row.get::<_, String>(0)))
        .optional()?;
    let run = match id {
        // It was removed meanwhile.
        None => return Ok(()),
        Some(Ok(id)) => RunId::from(id),
        Some(Err(error)) => {
            findings.push(Finding::of_all(format!("the run of the key {key}: its id cannot be read: {error}")));
            return Ok(());
        }
    };
    let told = row_of(&transaction, behind, key)?;
    let loaded = load_within(&transaction, behind, &run, false);
    let mut wrong = |what: String| findings.push(Finding { run: Some(run.clone()), what });
    if let Some((_, Some(fault))) = &told {
        wrong(format!("run {run}: {}", unreadable(fault)));
    }
    match loaded {
        Err(error) => wrong(error.to_string()),
        Ok(events) => match (RunState::fold(&events), &told) {
            (Err(illegal), _) => wrong(format!("run {run}: not the events of a run: {illegal}")),
            (Ok(_), Some((told, None))) => {
                if let Some(name) = differs(told, &events) {
                    wrong(format!("run {run}: its {name}: it is not what its events say"));
                }
            }
            _ => {}
        },
    }
    Ok(())
}

/// What the lists say otherwise than the events do. The rest stands in the last row, under its checksum.
fn differs(told: &RunSummary, events: &[Event]) -> Option<&'static str> {
    let mut of_events = events.first().and_then(RunSummary::start)?;
    of_events.follow(events);
    let columns = [
        ("workflow", told.workflow == of_events.workflow),
        ("status", told.status == of_events.status),
        ("labels", told.labels == of_events.labels),
        ("metadata", told.metadata == of_events.metadata),
        ("start", told.started_at == of_events.started_at),
        ("parent", told.parent == of_events.parent),
        ("error", told.error == of_events.error),
    ];
    columns.into_iter().find(|(_, is_equal)| !is_equal).map(|(name, _)| name)
}
