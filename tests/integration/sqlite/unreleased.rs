//! A lease that cannot be given back: its run is left alone, and no other one.

use std::path::Path;
use std::time::Duration;

use step_machine::journal::{Append, Claim, Journal, Lease, Synchronous};
use step_machine::{JournalError, SqliteJournal};

use super::{append, claim, events, open, sql};
use crate::flows::user::eventually;

fn goes_on(journal: &SqliteJournal, run: &str) {
    append(journal, &claim(journal, run), &events(run, 2));
}

#[test]
fn a_run_that_cannot_be_given_back_keeps_no_other_one_from_going_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, other) = (open(&path), open(&path));
    let (bad, good) = (claim(&journal, "bad"), claim(&journal, "good"));
    append(&journal, &bad, &events("bad", 1));
    append(&journal, &good, &events("good", 1));
    // As where the page of its row is damaged.
    let trigger = "CREATE TRIGGER damage BEFORE UPDATE ON run WHEN old.id = 'bad'
        BEGIN SELECT RAISE(ABORT, 'it cannot be read'); END";
    sql(&path).execute_batch(trigger).unwrap();

    let refused = journal.release(&bad).wait();
    let Err(JournalError::Write { run, source }) = &refused else { panic!("{refused:?}") };
    assert_eq!((run.to_string().as_str(), source.to_string().as_str()), ("bad", "it cannot be read"));
    append(&journal, &good, &events("good", 2)[1..]);
    goes_on(&journal, "third");
    assert!(matches!(other.claim(&Claim::of("bad")).wait(), Err(JournalError::Owned { .. })));

    // It is tried again with what comes next.
    sql(&path).execute_batch("DROP TRIGGER damage").unwrap();
    goes_on(&journal, "fourth");
    assert_eq!(other.claim(&Claim::of("bad")).wait().unwrap().events, events("bad", 1));
    assert_eq!(journal.load(&"good".into()).wait().unwrap(), events("good", 2));
}

/// The release of a run fails, as another process hangs within a commit; then that is over.
fn late(path: &Path) -> (SqliteJournal, Lease) {
    let options = SqliteJournal::options().synchronous(Synchronous::Normal).busy_timeout(Duration::from_millis(20));
    let journal = options.open(path).unwrap();
    let mut name = Claim::of("r");
    name.exclusive = vec!["web".to_owned()];
    let lease = journal.claim(&name).wait().unwrap().lease;
    append(&journal, &lease, &events("r", 2));
    let hanging = sql(path);
    hanging.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = journal.release(&lease).wait();
    assert!(matches!(&refused, Err(JournalError::Write { .. })), "{refused:?}");
    hanging.execute_batch("ROLLBACK").unwrap();
    (journal, lease)
}

#[test]
fn a_run_that_could_not_be_given_back_is_free_a_while_later_though_its_process_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (idle, _) = late(&path);
    let other = open(&path);
    let mut name = Claim::of("s");
    name.exclusive = vec!["web".to_owned()];
    eventually("it is given back", || match other.claim(&name).wait() {
        Ok(_) => true,
        Err(JournalError::Exclusive { .. }) => false,
        unexpected => panic!("{unexpected:?}"),
    });
    assert_eq!(other.claim(&Claim::of("r")).wait().unwrap().events, events("r", 2));
    drop(idle);
}

#[test]
fn a_lease_that_was_given_back_too_late_takes_no_append() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, lease) = late(&path);
    // Before it is tried again, and after.
    for run in ["s", "t"] {
        let refused = journal.append(Append::new(&lease, &events("r", 3)[2..])).wait();
        assert!(matches!(&refused, Err(JournalError::TakenOver { .. })), "{refused:?}");
        goes_on(&journal, run);
    }
    let claimed = journal.claim(&Claim::of("r")).wait().unwrap();
    assert_eq!(claimed.events, events("r", 2));
    append(&journal, &claimed.lease, &events("r", 3)[2..]);
}

#[test]
fn a_take_over_that_could_not_be_written_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, other) = (open(&path), open(&path));
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    // Only the commit sees it, as where the disk is full.
    let trigger = "CREATE TABLE part (id INTEGER PRIMARY KEY);
        CREATE TABLE whole (part INTEGER REFERENCES part (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER fault AFTER UPDATE OF epoch ON run BEGIN INSERT INTO whole VALUES (1); END";
    sql(&path).execute_batch(trigger).unwrap();
    let mut force = Claim::of("r");
    force.take_over = true;
    for _ in 0..2 {
        let refused = journal.claim(&force).wait().map(drop);
        assert!(matches!(&refused, Err(JournalError::Write { .. })), "{refused:?}");
    }
    sql(&path).execute_batch("DROP TRIGGER fault").unwrap();
    append(&journal, &lease, &events("r", 3)[2..]);
    journal.release(&lease).wait().unwrap();
    assert_eq!(other.claim(&Claim::of("r")).wait().unwrap().events, events("r", 3));
}
