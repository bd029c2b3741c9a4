//! A lease that cannot be given back: its run is left alone, and no other one.

use step_machine::journal::{Claim, Journal};
use step_machine::{JournalError, SqliteJournal};

use super::{append, claim, events, open, sql};

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
