//! The SQLite files of every released format, which are read for ever: `old_journals` says what may become of them.
//!
//! `fixtures/v<n>/runs.sql` is such a file as text, its tables and rows as they stood there, and `runs.state.json` what
//! was read from it. `ADD_FIXTURES=1` writes both of today, where there are none.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use step_machine::event::{EVENT_VERSION, Event, RunStatus};
use step_machine::journal::{Append, Claim, Lease, RunQuery, Synchronous};
use step_machine::{Journal, RunId, SqliteJournal};
use tempfile::TempDir;

use crate::old_journals::{facts, folder, goes_on, read, says, states};
use crate::runner::kept;

const SQL: &str = "runs.sql";
const STATE: &str = "runs.state.json";

/// The runs that the file has, each with how many of its events are appended at once.
const RUNS: [(&str, usize); 5] =
    [("completed", 4), ("failed", 1), ("interrupted", 2), ("nested", 3), ("rolled_back", 1)];

fn open(path: &Path) -> SqliteJournal {
    SqliteJournal::options().synchronous(Synchronous::Normal).open(path).unwrap()
}

/// The file of a version, in a folder of its own.
fn loaded(version: u16) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    Connection::open(&path).unwrap().execute_batch(&read(version, SQL)).unwrap();
    (folder, path)
}

/// What a reader gets of all runs of a journal.
fn told(journal: &SqliteJournal) -> Value {
    let listed = journal.list(&RunQuery::all().with_nested().with_abandoned()).wait().unwrap();
    let load = |run: &RunId| journal.load(run).wait().unwrap();
    let states: BTreeMap<_, _> = listed.iter().flat_map(|run| states(&load(&run.run))).collect();
    json!({ "listed": listed, "states": facts(&states) })
}

/// The events of the runs that the file has, each run by itself and under an id of its own.
async fn runs() -> Vec<(usize, Vec<Event>)> {
    let mut runs = Vec::new();
    for (name, events) in kept::runs().await {
        let Some((_, at_once)) = RUNS.iter().find(|(kept, _)| *kept == name) else { continue };
        let mut split = BTreeMap::<RunId, Vec<Event>>::new();
        for mut event in events {
            if event.run == "line/1".into() {
                event.run = name.into();
            }
            split.entry(event.run.clone()).or_default().push(event);
        }
        runs.extend(split.into_values().map(|events| (*at_once, events)));
    }
    runs
}

/// Writes a file in which one run was interrupted: its process is gone, and has given nothing back.
fn fill(journal: &SqliteJournal, runs: &[(usize, Vec<Event>)]) {
    let claim = |run: &RunId| {
        let mut claim = Claim::of(run);
        claim.exclusive.extend((*run == "interrupted".into()).then(|| "web-1".to_owned()));
        journal.claim(&claim).wait().unwrap().lease
    };
    let append = |lease: &Lease, events: &[Event]| journal.append(Append::new(lease, events)).wait().unwrap();
    let leases: Vec<Lease> = runs.iter().map(|(_, events)| claim(&events[0].run)).collect();
    // The first events of all in turn, so that each makes a row; then run by run, where rows are added to.
    for ((_, events), lease) in runs.iter().zip(&leases) {
        append(lease, &events[..2]);
    }
    for ((at_once, events), lease) in runs.iter().zip(&leases) {
        events[2..].chunks(*at_once).for_each(|events| append(lease, events));
        if lease.run != "interrupted".into() {
            journal.release(lease).wait().unwrap();
        }
    }
}

/// A file as text that makes it again, a row a line.
fn dump(path: &Path) -> String {
    let file = Connection::open(path).unwrap();
    // Who made it is nobody's business.
    file.execute_batch(
        "UPDATE owner SET id = 'gone', host = 'builder', pid = 4711, since = '2026-01-01T00:00:00.000000Z'",
    )
    .unwrap();
    let texts = |query: &str| -> Vec<String> {
        let mut select = file.prepare(query).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let made = |kinds: &str| {
        let query = format!(
            "SELECT sql FROM sqlite_schema WHERE type IN ({kinds}) AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        );
        texts(&query).into_iter().map(|sql| sql + ";\n\n").collect::<String>()
    };
    let mut text = String::new();
    for pragma in ["application_id", "user_version"] {
        let value: i64 = file.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        writeln!(text, "PRAGMA {pragma} = {value};").unwrap();
    }
    write!(text, "\n{}", made("'table'")).unwrap();
    for table in ["owner", "run", "record", "place", "placed", "exclusive"] {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
        let values = columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join(" || ', ' || ");
        for row in texts(&format!("SELECT {values} FROM {table} ORDER BY 1")) {
            writeln!(text, "INSERT INTO {table} ({}) VALUES ({row});", columns.join(", ")).unwrap();
        }
    }
    format!("{text}\n{}", made("'index', 'view'").trim_end()) + "\n"
}

fn add(runs: &[(usize, Vec<Event>)]) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("runs.db");
    let journal = open(&path);
    fill(&journal, runs);
    let text = dump(&path);
    fs::write(folder(EVENT_VERSION).join(SQL), text).unwrap();
    let told = serde_json::to_string_pretty(&told(&journal)).unwrap() + "\n";
    fs::write(folder(EVENT_VERSION).join(STATE), told).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_file_of_today_is_kept() {
    let adds = std::env::var_os("ADD_FIXTURES").is_some_and(|value| value == "1");
    let is_kept = || folder(EVENT_VERSION).join(SQL).exists() && folder(EVENT_VERSION).join(STATE).exists();
    if adds && !is_kept() {
        add(&runs().await);
    }
    assert!(is_kept(), "fixtures/v{EVENT_VERSION} has no {SQL}; run this test with ADD_FIXTURES=1 to add it");
}

#[test]
fn what_a_file_of_any_version_has_is_read_as_it_was() {
    for version in 1..=EVENT_VERSION {
        let (_folder, path) = loaded(version);
        let journal = SqliteJournal::open(&path).unwrap();
        assert!(journal.check().wait().unwrap().is_empty(), "v{version}");
        let kept: Value = serde_json::from_str(&read(version, STATE)).unwrap();
        let found = told(&journal);
        assert!(says(&found, &kept), "v{version}: {SQL} is read in another way than it was:\n{found:#}");

        let statuses: Vec<_> = journal.list(&RunQuery::all()).wait().unwrap();
        let mut statuses: Vec<_> = statuses.iter().map(|run| format!("{} {}", run.run, run.status)).collect();
        statuses.sort();
        let expected = [
            "completed completed",
            "failed failed",
            "host/1 rolled_back",
            "interrupted running",
            "rolled_back rolled_back",
        ];
        assert_eq!(statuses, expected, "v{version}");
        // Rows of one event, and rows of many.
        let file = Connection::open(&path).unwrap();
        let most = "SELECT max(last_seq - first_seq + 1) FROM record";
        assert!(file.query_row(most, [], |row| row.get::<_, u32>(0)).unwrap() > 5, "v{version}");
    }
}

/// All that a file is made of, but for what is said about it.
fn schema(path: &Path) -> Vec<String> {
    let file = Connection::open(path).unwrap();
    let mut select = file.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("--");
    let code = |sql: String| sql.lines().filter(is_code).map(str::trim).collect::<Vec<_>>().join("\n");
    select.query_map([], |row| row.get(0)).unwrap().map(|sql| code(sql.unwrap())).collect()
}

#[test]
fn a_file_of_any_version_that_was_opened_is_made_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.db");
    drop(open(&new));
    for version in 1..=EVENT_VERSION {
        let (_folder, path) = loaded(version);
        drop(open(&path));
        assert_eq!(schema(&path), schema(&new), "v{version}: what changes the schema is a migration of its own");
    }
}

#[test]
fn a_run_in_a_file_of_any_version_goes_on() {
    for version in 1..=EVENT_VERSION {
        let (_folder, path) = loaded(version);
        let journal = open(&path);
        let listed = |run: &str| journal.list(&RunQuery::of(run)).wait().unwrap().remove(0);
        assert_eq!(
            listed("interrupted").owner.map(|owner| (owner.host, owner.pid)),
            Some(("builder".to_owned(), 4711))
        );
        // Nobody lives who holds what it held.
        let mut other = Claim::of("other");
        other.exclusive.push("web-1".to_owned());
        let other = journal.claim(&other).wait().unwrap().lease;
        journal.release(&other).wait().unwrap();
        for run in ["interrupted", "failed"] {
            let before = journal.load(&run.into()).wait().unwrap();
            goes_on(run, &journal);
            let after = journal.load(&run.into()).wait().unwrap();
            assert_eq!(after[..before.len()], before, "v{version} {run}");
            let listed = listed(run);
            assert_eq!((listed.status, listed.owner), (RunStatus::Completed, None), "v{version} {run}");
        }
        assert!(journal.check().wait().unwrap().is_empty(), "v{version}");
        let owners = "SELECT count(*) FROM owner WHERE id = 'gone'";
        let left: u32 = Connection::open(&path).unwrap().query_row(owners, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "v{version}: the dead one is cleared away");
    }
}
