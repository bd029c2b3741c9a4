//! Looking through the whole journal.

use std::fmt;
use std::path::Path;

use rusqlite::Connection;

use super::error::store;
use super::load::load;
use crate::journal::JournalError;
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

/// All that is wrong: in the database as SQLite sees it, and in each run.
pub(super) fn check(connection: &mut Connection, path: &Path) -> Result<Vec<Finding>, JournalError> {
    let mut findings = Vec::new();
    let texts = column(connection, "PRAGMA integrity_check").map_err(|error| store(path, error))?;
    findings.extend(texts.into_iter().filter(|text| text != "ok").map(|what| Finding { run: None, what }));
    let texts = column(connection, "SELECT id FROM run ORDER BY key").map_err(|error| store(path, error))?;
    for run in texts {
        let run = RunId::from(run);
        if let Some(what) = wrong(connection, &run) {
            findings.push(Finding { run: Some(run), what });
        }
    }
    Ok(findings)
}

fn column(connection: &Connection, statement: &str) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare(statement)?.query_map([], |row| row.get(0))?.collect()
}

fn wrong(connection: &mut Connection, run: &RunId) -> Option<String> {
    match load(connection, run) {
        Err(error) => Some(error.to_string()),
        Ok(events) => {
            RunState::fold(&events).err().map(|illegal| format!("run {run}: not the events of a run: {illegal}"))
        }
    }
}
