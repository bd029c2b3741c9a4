//! Where the rows of a run are found: by an index that follows many commits at once, and by looking through the newest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use step_machine::SqliteJournal;
use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Journal, Lease, RunQuery, Waiting};

use super::{append, claim, event, open, sql};

pub(super) const RUNS: [&str; 3] = ["a", "b", "c"];

/// An event of three thousand bytes.
pub(super) fn long(run: &str, seq: u64) -> Event {
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

pub(super) fn upto(path: &Path) -> i64 {
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

pub(super) fn texts(journal: &SqliteJournal) -> Vec<String> {
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
        let expected = i64::try_from(events.len()).unwrap();
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
    break_page(&path, first_page_of(&path, "place"));

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
        i64::try_from(all.len()).unwrap()
    );
}

fn first_page_of(path: &Path, table: &str) -> usize {
    usize::try_from(number(path, &format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"))).unwrap()
}

/// Makes the page a page of no tree.
fn break_page(path: &Path, page: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[(page - 1) * 4096] = 0xff;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_says_how_far_rows_are_placed_may_be_on_a_page_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let filled = left(&path, 100);
    break_page(&path, first_page_of(&path, "placed"));

    let journal = open(&path);
    filled.assert_are_found(&journal);
    let lease = claim(&journal, "new");
    append(&journal, &lease, &super::events("new", 2));
    assert_eq!(journal.claim(&Claim::of("b")).wait().unwrap().events, filled.events["b"]);
    append(&journal, &lease, &super::events("new", 3)[2..]);
    journal.release(&lease).wait().unwrap();
    assert_eq!(journal.load(&"new".into()).wait().unwrap(), super::events("new", 3));
    journal.abandon(&"a".into(), "over").wait().unwrap();
    assert_eq!(journal.prune(SystemTime::now()).wait().unwrap(), 1);
}

#[test]
fn a_row_that_is_not_placed_and_cannot_be_read_hides_no_other_run() {
    let folder = tempfile::tempdir().unwrap();
    let (source, path) = (folder.path().join("source.db"), folder.path().join("runs.db"));
    let journal = open(&source);
    let old = claim(&journal, "old");
    append(&journal, &old, &super::events("old", 2));
    journal.release(&old).wait().unwrap();
    let mut filled = Filled::new(&journal);
    filled.go_on(&journal, 100);
    // That one is placed, with all that is there.
    journal.release(&claim(&journal, "old")).wait().unwrap();
    filled.go_on(&journal, 300);
    filled.release(&journal);
    append(&journal, &claim(&journal, "dead"), &super::events("dead", 2));
    sql(&source).execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    assert!(upto(&path) > 300 && upto(&path) < rows(&path) - 800);
    filled.events.insert("old", super::events("old", 2));
    // The first run that comes has that number, and its row stands on a page of its own.
    let bytes = std::fs::read(&path).unwrap();
    let row = b"\"seq\":200,";
    let at = bytes.windows(row.len()).position(|found| found == row).unwrap();
    break_page(&path, at / 4096 + 1);

    let journal = open(&path);
    let new = claim(&journal, "new");
    append(&journal, &new, &super::events("new", 2));
    let mut damaged = Vec::new();
    for (run, events) in &filled.events {
        match journal.load(&(*run).into()).wait() {
            Ok(found) => assert_eq!(&found, events),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    assert!(matches!(&damaged[..], [one] if one.contains("event 200 is missing, event 201 comes next")), "{damaged:?}");
    let listed = journal.list(&RunQuery::all()).wait().unwrap();
    for (run, events) in &filled.events {
        let listed = listed.iter().find(|listed| listed.run == (*run).into()).unwrap();
        assert_eq!((listed.updated_at, &listed.error), (events.last().unwrap().at, &None));
    }
    let of_runs = journal.check().wait().unwrap().into_iter().filter_map(|finding| finding.run).collect::<Vec<_>>();
    assert!(!of_runs.contains(&"old".into()), "{of_runs:?}");

    // Who goes on with the damaged one does not see all of it. To say so stops nobody who writes in the same commit.
    let other = sql(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = journal.prune(SystemTime::UNIX_EPOCH);
    std::thread::sleep(Duration::from_millis(100));
    let lost = damaged_run(&filled, &journal);
    let claimed = journal.claim(&Claim::of(lost));
    let more = super::events("new", 3);
    let mut next = Append::new(&new, &more[2..]);
    next.waiting = Waiting::Nobody;
    let appended = journal.append(next);
    other.execute_batch("COMMIT").unwrap();
    let refused = first.wait();
    assert!(matches!(&refused, Err(step_machine::JournalError::Store { .. })), "{refused:?}");
    let refused = claimed.wait();
    assert!(matches!(&refused, Err(step_machine::JournalError::Damaged { .. })), "{refused:?}");
    appended.wait().unwrap();
    // Of one whose process died the end might be lost.
    for refused in [journal.load(&"dead".into()).wait().map(drop), journal.claim(&Claim::of("dead")).wait().map(drop)] {
        assert!(matches!(&refused, Err(step_machine::JournalError::Damaged { .. })), "{refused:?}");
    }
    journal.abandon(&"dead".into(), "its end may be lost").wait().unwrap();
    // With all others that were given back one goes on, also more than once.
    for run in filled.events.keys().filter(|run| **run != lost) {
        for _ in 0..2 {
            let mut claimed = journal.claim(&Claim::of(*run)).wait().unwrap();
            assert_eq!(claimed.events[..filled.events[run].len()], filled.events[run]);
            let next = long(run, claimed.events.len() as u64 + 1);
            append(&journal, &claimed.lease, std::slice::from_ref(&next));
            claimed.events.push(next);
            journal.release(&claimed.lease).wait().unwrap();
            assert_eq!(journal.load(&(*run).into()).wait().unwrap(), claimed.events);
        }
    }
    for run in filled.events.keys() {
        journal.abandon(&(*run).into(), "over").wait().unwrap();
    }
}

/// The run of which some cannot be read.
fn damaged_run(filled: &Filled, journal: &SqliteJournal) -> &'static str {
    filled.events.keys().find(|run| journal.load(&(**run).into()).wait().is_err()).unwrap()
}

#[test]
fn what_is_placed_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let mut filled = Filled::new(&journal);
    filled.go_on(&journal, 30);
    filled.release(&journal);
    let lease = claim(&journal, "d");
    append(&journal, &lease, &super::events("d", 2));
    let before = rows(&path);

    // So much is written and removed again by one commit that it is time to place.
    let other = sql(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = journal.prune(SystemTime::UNIX_EPOCH);
    std::thread::sleep(Duration::from_millis(100));
    let message = format!(r#""type":"step_update","step":"apply","message":"{}""#, "x".repeat(30_000));
    for seq in 3..200 {
        let next = event("d", seq, &message);
        let mut append = Append::new(&lease, std::slice::from_ref(&next));
        append.waiting = Waiting::Nobody;
        drop(journal.append(append));
    }
    let released = journal.release(&lease);
    let given_up = ["a", "b", "c", "d"].map(|run| journal.abandon(&run.into(), "over"));
    let pruned = journal.prune(SystemTime::now());
    other.execute_batch("COMMIT").unwrap();
    first.wait().unwrap();
    released.wait().unwrap();
    for reply in given_up {
        reply.wait().unwrap();
    }
    assert_eq!((pruned.wait().unwrap(), rows(&path)), (4, 0));
    // Once all of that is through.
    append(&journal, &claim(&journal, "e"), &super::events("e", 1));
    assert!(upto(&path) >= before, "{} of {before}", upto(&path));
}

#[test]
fn what_a_run_that_is_alone_adds_to_its_rows_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    append(&journal, &lease, &super::events("r", 2));
    let message = format!(r#""type":"step_update","step":"apply","message":"{}""#, "x".repeat(700));
    for seq in 3..7_500 {
        append(&journal, &lease, &[event("r", seq, &message)]);
    }
    let of = |rows: &str| number(&path, &format!("SELECT coalesce(sum(length(body)), 0) FROM record {rows}"));
    assert!(of("") > 5 << 20, "{}", of(""));
    let behind = of("WHERE id > (SELECT upto FROM placed)");
    assert!(behind < (4 << 20) + 100_000, "{behind} bytes are not placed");
}

#[test]
fn whoever_begins_a_first_run_places_what_others_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let filled = left(&path, 100);
    let last = rows(&path);
    let journal = open(&path);
    append(&journal, &claim(&journal, "new"), &super::events("new", 2));
    assert_eq!(upto(&path), last);
    assert_eq!(journal.load(&"b".into()).wait().unwrap(), filled.events["b"]);
}

#[test]
fn to_place_rows_keeps_nobody_waiting() {
    const PATIENCE: Duration = Duration::from_millis(600);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = SqliteJournal::options().busy_timeout(PATIENCE).open(&path).unwrap();
    let mut filled = Filled::new(&journal);
    filled.go_on(&journal, 30);
    filled.release(&journal);
    let other = sql(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let since = std::time::Instant::now();
    assert!(journal.prune(SystemTime::now()).wait().is_err());
    let pruned = since.elapsed();
    let since = std::time::Instant::now();
    drop(journal);
    let closed = since.elapsed();
    let most = PATIENCE.mul_f64(1.7);
    assert!(pruned < most && closed < most, "{pruned:?} to prune, {closed:?} to close");
}

#[test]
fn the_view_of_all_events_needs_no_index_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    left(&path, ENOUGH);
    let file = sql(&path);
    for query in ["SELECT * FROM events", "SELECT * FROM steps", "SELECT * FROM events WHERE run = 'a'"] {
        let mut explain = file.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let plan: Vec<String> = explain.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(!plan.iter().any(|step| step.contains("record USING AUTOMATIC")), "{query}: {plan:#?}");
        assert!(!plan.iter().any(|step| step == "SCAN record"), "{query}: {plan:#?}");
    }
}
