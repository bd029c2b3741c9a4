//! Where the rows of a run are found: by an index that follows many commits at once, and by looking through the newest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use step_machine::SqliteJournal;
use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Journal, Lease, RunQuery, Waiting};

use super::{append, claim, event, open, sql};

const RUNS: [&str; 3] = ["a", "b", "c"];

/// An event of three thousand bytes.
fn long(run: &str, seq: u64) -> Event {
    let message = format!(r#""type":"step_update","step":"apply","message":"{}""#, "x".repeat(3_000));
    event(run, seq, &message)
}

/// Runs with a commit for each event, in turn.
struct Filled {
    leases: BTreeMap<&'static str, Lease>,
    events: BTreeMap<&'static str, Vec<Event>>,
}

impl Filled {
    fn new(journal: &SqliteJournal) -> Self {
        let leases: BTreeMap<_, _> = RUNS.into_iter().map(|run| (run, claim(journal, run))).collect();
        let mut filled = Self { leases, events: BTreeMap::new() };
        for run in RUNS {
            let start = super::events(run, 2);
            append(journal, &filled.leases[run], &start);
            filled.events.insert(run, start);
        }
        filled
    }

    /// So many events more of each run.
    fn go_on(&mut self, journal: &SqliteJournal, count: u64) {
        for _ in 0..count {
            for (run, lease) in &self.leases {
                let events = self.events.get_mut(run).unwrap();
                let next = long(run, events.len() as u64 + 1);
                append(journal, lease, std::slice::from_ref(&next));
                events.push(next);
            }
        }
    }

    fn release(&self, journal: &SqliteJournal) {
        self.leases.values().for_each(|lease| journal.release(lease).wait().unwrap());
    }

    fn assert_are_found(&self, journal: &SqliteJournal) {
        for (run, events) in &self.events {
            assert_eq!(&journal.load(&(*run).into()).wait().unwrap(), events, "{run}");
        }
        let listed = journal.list(&RunQuery::all()).wait().unwrap();
        let newest: BTreeMap<_, _> = listed.iter().map(|run| (run.run.to_string(), run.updated_at)).collect();
        let expected: BTreeMap<_, _> =
            self.events.iter().map(|(run, events)| ((*run).to_owned(), events.last().map(|event| event.at))).collect();
        assert_eq!(newest, expected.into_iter().map(|(run, at)| (run, at.unwrap())).collect());
    }
}

/// Enough to be placed, with some left over.
const ENOUGH: u64 = 600;

fn number(path: &Path, select: &str) -> i64 {
    sql(path).query_row(select, [], |row| row.get(0)).unwrap()
}

fn upto(path: &Path) -> i64 {
    number(path, "SELECT upto FROM placed")
}

fn rows(path: &Path) -> i64 {
    number(path, "SELECT count(*) FROM record")
}

/// A journal whose process is gone, and what it has.
fn left(path: &Path, count: u64) -> Filled {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("runs.db");
    let journal = open(&source);
    let mut filled = Filled::new(&journal);
    filled.go_on(&journal, count);
    filled.release(&journal);
    // As it stands before the journal is closed.
    sql(&source).execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    filled
}

fn texts(journal: &SqliteJournal) -> Vec<String> {
    journal.check().wait().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn rows_are_placed_by_many_and_are_found_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let mut filled = Filled::new(&journal);
    filled.go_on(&journal, 20);
    assert_eq!((upto(&path), rows(&path) > 3), (0, true));
    filled.assert_are_found(&journal);

    filled.go_on(&journal, ENOUGH);
    assert!(upto(&path) > 0 && upto(&path) < rows(&path), "{} of {}", upto(&path), rows(&path));
    filled.assert_are_found(&journal);
    filled.go_on(&journal, 1);
    filled.assert_are_found(&journal);
    assert_eq!(texts(&journal), [""; 0]);
    // And with plain SQL.
    for (run, events) in &filled.events {
        let count = format!("SELECT count(DISTINCT seq) * 1000000 + count(*) FROM events WHERE run = '{run}'");
        let expected = events.len() as i64;
        assert_eq!(number(&path, &count), expected * 1_000_000 + expected);
    }
    assert_eq!(number(&path, "SELECT count(*) FROM runs WHERE id IN ('a', 'b', 'c')"), 3);

    // Whoever closes the file leaves few that have to be looked through.
    filled.release(&journal);
    drop(journal);
    assert_eq!(upto(&path), rows(&path));
    filled.assert_are_found(&open(&path));
}

#[test]
fn whoever_goes_on_with_a_run_places_what_a_crash_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let filled = left(&path, 100);
    assert_eq!(upto(&path), 0);
    let journal = open(&path);
    filled.assert_are_found(&journal);
    assert_eq!(upto(&path), 0);
    let claimed = journal.claim(&Claim::of("b")).wait().unwrap();
    assert_eq!(claimed.events, filled.events["b"]);
    assert_eq!(upto(&path), rows(&path));
    filled.assert_are_found(&journal);
}

#[test]
fn no_row_takes_an_id_that_was_placed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let filled = left(&path, 100);
    let journal = open(&path);
    journal.release(&claim(&journal, "a")).wait().unwrap();
    let last = upto(&path);
    for run in RUNS {
        journal.abandon(&run.into(), "over").wait().unwrap();
    }
    assert_eq!(journal.prune(SystemTime::now() + Duration::from_secs(60)).wait().unwrap(), 3);
    assert_eq!((rows(&path), number(&path, "SELECT count(*) FROM place")), (0, 0));
    drop((journal, filled));

    // Neither for who was there, nor for who comes.
    let journal = open(&path);
    let next = Filled::new(&journal);
    assert_eq!(number(&path, "SELECT min(id) FROM record"), last + 1);
    next.assert_are_found(&journal);
    assert_eq!(texts(&journal), [""; 0]);
}

#[test]
fn two_who_write_in_turn_lose_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, other) = (open(&path), open(&path));
    let mut filled = Filled::new(&one);
    let lease = claim(&other, "d");
    let mut theirs = super::events("d", 2);
    append(&other, &lease, &theirs);
    for _ in 0..12 {
        filled.go_on(&one, ENOUGH / 10);
        for _ in 0..50 {
            theirs.push(long("d", theirs.len() as u64 + 1));
            append(&other, &lease, &theirs[theirs.len() - 1..]);
        }
    }
    filled.events.insert("d", theirs);
    assert!(upto(&path) > 0 && upto(&path) < rows(&path), "{} of {}", upto(&path), rows(&path));
    filled.assert_are_found(&one);
    filled.assert_are_found(&other);
    assert_eq!(texts(&one), [""; 0]);
}

#[test]
fn what_says_how_far_rows_are_placed_may_be_damaged() {
    for change in ["upto = upto + 50", "upto = upto - 50", "checksum = 7", "upto = -1"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let filled = left(&path, ENOUGH);
        assert!(upto(&path) > 50);
        sql(&path).execute(&format!("UPDATE placed SET {change}"), []).unwrap();
        let journal = open(&path);
        filled.assert_are_found(&journal);
        let found = texts(&journal);
        assert_eq!(found[0], "what says how far rows are placed is not as it was written", "{change}: {found:?}");
        // Whoever goes on mends it.
        assert_eq!(journal.claim(&Claim::of("b")).wait().unwrap().events, filled.events["b"]);
        assert_eq!((texts(&journal), upto(&path)), (Vec::new(), rows(&path)), "{change}");
        filled.assert_are_found(&journal);
    }
}

#[test]
fn a_row_that_is_not_placed_where_it_should_be_is_found_by_check() {
    for (change, expected) in [
        ("DELETE FROM place WHERE record = 10", "rows of `record` that `place` does not have: 1"),
        (
            "INSERT INTO place SELECT run, 99999 FROM place WHERE record = 10",
            "rows of `place` without one of `record`: 1",
        ),
        ("UPDATE place SET run = run + 10 WHERE record < 10", "rows of `record` that `place` does not have: 9"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        left(&path, ENOUGH);
        sql(&path).execute_batch(change).unwrap();
        let found = texts(&open(&path));
        assert!(found.iter().any(|text| text == expected), "{change}: {found:?}");
    }
}

#[test]
fn rows_that_cannot_be_placed_keep_nobody_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    left(&path, ENOUGH);
    let page = number(&path, "SELECT rootpage FROM sqlite_schema WHERE name = 'place'") as usize;
    let mut bytes = std::fs::read(&path).unwrap();
    // It is no page of a tree any more.
    bytes[(page - 1) * 4096] = 0xff;
    std::fs::write(&path, bytes).unwrap();

    let journal = open(&path);
    let lease = claim(&journal, "new");
    let mut all = super::events("new", 1);
    append(&journal, &lease, &all);
    for _ in 0..ENOUGH * 3 {
        all.push(long("new", all.len() as u64 + 1));
        let mut append = Append::new(&lease, &all[all.len() - 1..]);
        append.waiting = Waiting::Nobody;
        drop(journal.append(append));
    }
    append(&journal, &lease, &[]);
    journal.release(&lease).wait().unwrap();
    let refused = journal.load(&"new".into()).wait();
    assert!(matches!(&refused, Err(step_machine::JournalError::Damaged { .. })), "{refused:?}");
    assert_eq!(
        number(&path, "SELECT max(last_seq) FROM record WHERE run = (SELECT max(key) FROM run)"),
        all.len() as i64
    );
}
