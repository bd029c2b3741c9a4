//! How what is appended stands in the file.

use std::path::Path;
use std::time::{Duration, SystemTime};

use step_machine::journal::{Append, Claim, Journal, Synchronous, Waiting};
use step_machine::{JournalError, SqliteJournal};

use super::{append, claim, event, events, open, rows_of, sql};

/// What a row has at most to which a later append is added.
const FULL: usize = 3_980;

fn lengths(path: &Path) -> Vec<usize> {
    let connection = sql(path);
    let mut select = connection.prepare("SELECT length(body) FROM record ORDER BY id").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn append_each(journal: &SqliteJournal, run: &str, count: u64) {
    let lease = claim(journal, run);
    events(run, count).chunks(1).for_each(|event| append(journal, &lease, event));
}

#[test]
fn a_run_that_is_alone_fills_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    append_each(&journal, "r", 200);
    let lengths = lengths(&path);
    assert!(lengths.iter().all(|length| *length <= FULL), "{lengths:?}");
    let (_, full) = lengths.split_last().unwrap();
    assert!(full.len() > 3 && full.iter().all(|length| *length > FULL - 200), "{lengths:?}");
    let rows = rows_of(&path, "r");
    assert!(rows.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{rows:?}");
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", 200));
}

#[test]
fn what_does_not_fit_begins_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    let long =
        |seq| event("r", seq, &format!(r#""type":"step_update","step":"apply","message":"{}""#, "x".repeat(3_000)));
    let mut all = events("r", 2);
    all.extend([long(3), long(4), long(5)]);
    all.extend((6..=7).map(|seq| event("r", seq, r#""type":"step_update","step":"apply","message":"short""#)));
    append(&journal, &lease, &all[..1]);
    append(&journal, &lease, &all[1..2]);
    append(&journal, &lease, &all[2..3]);
    append(&journal, &lease, &all[3..5]);
    append(&journal, &lease, &all[5..6]);
    append(&journal, &lease, &all[6..]);
    assert_eq!(rows_of(&path, "r"), [(1, 3), (4, 5), (6, 7)]);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all);
}

#[test]
fn runs_that_write_in_turn_have_a_row_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let leases = ["a", "b"].map(|run| (run, claim(&journal, run)));
    for at in 0..3 {
        for (run, lease) in &leases {
            append(&journal, lease, &events(run, 3)[at..=at]);
        }
    }
    // Alone again.
    for at in 3..6 {
        append(&journal, &leases[0].1, &events("a", 6)[at..=at]);
    }
    assert_eq!(rows_of(&path, "a"), [(1, 1), (2, 2), (3, 3), (4, 6)]);
    assert_eq!(rows_of(&path, "b"), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(journal.load(&"a".into()).wait().unwrap(), events("a", 6));
    assert_eq!(journal.load(&"b".into()).wait().unwrap(), events("b", 3));
}

#[test]
fn a_lease_adds_to_no_row_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let all = events("r", 6);
    for two in all.chunks(2) {
        let lease = claim(&journal, "r");
        append(&journal, &lease, &two[..1]);
        append(&journal, &lease, &two[1..]);
        journal.release(&lease).wait().unwrap();
    }
    assert_eq!(rows_of(&path, "r"), [(1, 2), (3, 4), (5, 6)]);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all);
}

#[test]
fn what_another_process_wrote_meanwhile_stands_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, other) = (open(&path), open(&path));
    let (ours, theirs) = (claim(&one, "ours"), claim(&other, "theirs"));
    for at in 0..10 {
        append(&one, &ours, &events("ours", 10)[at..=at]);
        append(&other, &theirs, &events("theirs", 10)[at..=at]);
    }
    assert_eq!((rows_of(&path, "ours"), rows_of(&path, "theirs")), (vec![(1, 10)], vec![(1, 10)]));

    // Taken over, it is refused, and the row stays as it is.
    let mut force = Claim::of("ours");
    force.take_over = true;
    let taken = other.claim(&force).wait().unwrap();
    assert_eq!(taken.events, events("ours", 10));
    let refused = one.append(Append::new(&ours, &events("ours", 11)[10..])).wait();
    assert!(matches!(&refused, Err(JournalError::TakenOver { .. })), "{refused:?}");
    append(&other, &taken.lease, &events("ours", 11)[10..]);
    assert_eq!(rows_of(&path, "ours"), [(1, 10), (11, 11)]);
    assert_eq!(one.load(&"ours".into()).wait().unwrap(), events("ours", 11));
    assert!(one.check().wait().unwrap().is_empty());
}

#[test]
fn a_row_of_another_run_in_its_place_is_not_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, other) = (open(&path), open(&path));
    let (lost, all) = (claim(&one, "r"), events("r", 4));
    append(&one, &lost, &all[..1]);
    append(&one, &lost, &all[1..3]);

    // While it sleeps, its run is taken over and ended, and another one gets the ids of its rows.
    let mut force = Claim::of("r");
    force.take_over = true;
    let taken = other.claim(&force).wait().unwrap().lease;
    other.release(&taken).wait().unwrap();
    other.abandon(&"r".into(), "it sleeps").wait().unwrap();
    assert_eq!(other.prune(SystemTime::now() + Duration::from_secs(60)).wait().unwrap(), 1);
    append(&other, &claim(&other, "s"), &events("s", 1));

    let refused = one.append(Append::new(&lost, &all[3..])).wait();
    assert!(matches!(&refused, Err(JournalError::TakenOver { .. })), "{refused:?}");
    assert_eq!(other.load(&"s".into()).wait().unwrap(), events("s", 1));
    assert!(other.check().wait().unwrap().is_empty());
}

#[test]
fn a_row_that_was_taken_away_is_not_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let (lease, all) = (claim(&journal, "r"), events("r", 4));
    append(&journal, &lease, &all[..2]);
    assert_eq!(sql(&path).execute("DELETE FROM record", []).unwrap(), 1);
    for _ in 0..2 {
        let refused = journal.append(Append::new(&lease, &all[2..])).wait();
        let Err(JournalError::Write { source, .. }) = &refused else { panic!("{refused:?}") };
        assert_eq!(source.to_string(), "Query changed 0 rows");
    }
    assert_eq!(rows_of(&path, "r"), []);
}

#[test]
fn news_that_nobody_waits_for_are_added_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = open(&path);
    let lease = claim(&journal, "r");
    for event in events("r", 15).chunks(1) {
        let mut append = Append::new(&lease, event);
        append.waiting = Waiting::Nobody;
        drop(journal.append(append));
    }
    append(&journal, &lease, &[]);
    assert_eq!(rows_of(&path, "r"), [(1, 15)]);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", 15));
}

#[test]
fn an_addition_that_fails_stops_its_run_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let options = SqliteJournal::options().synchronous(Synchronous::Normal);
    let journal = options.busy_timeout(Duration::from_millis(20)).open(&path).unwrap();
    let (other, lease) = (claim(&journal, "other"), claim(&journal, "r"));
    append(&journal, &other, &events("other", 1));
    let all = events("r", 5);
    append(&journal, &lease, &all[..2]);
    append(&journal, &lease, &all[2..3]);

    let blocker = sql(&path);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = journal.append(Append::new(&lease, &all[3..4])).wait();
    blocker.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(&refused, Err(JournalError::Write { run, .. }) if *run == "r".into()), "{refused:?}");
    for next in [&all[3..4], &all[4..]] {
        let refused = journal.append(Append::new(&lease, next)).wait();
        let Err(JournalError::Write { source, .. }) = &refused else { panic!("{refused:?}") };
        assert_eq!(source.to_string(), "database is locked");
    }
    append(&journal, &other, &events("other", 2)[1..]);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all[..3]);
    assert_eq!(journal.load(&"other".into()).wait().unwrap(), events("other", 2));
}
