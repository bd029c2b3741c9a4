//! What becomes of owners whose rows or files were changed by somebody else.

use std::path::Path;
use std::time::SystemTime;

use step_machine::JournalError;
use step_machine::journal::{Claim, Journal, RunQuery};

use super::{append, claim, events, open, sql};

/// Leaves a run that nobody drives any more, and whose process is gone.
fn leave(path: &Path, run: &str) {
    let journal = open(path);
    append(&journal, &claim(&journal, run), &events(run, 2));
}

fn owners(path: &Path) -> u32 {
    sql(path).query_row("SELECT count(*) FROM owner", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_dead_owner_whose_row_is_damaged_keeps_nobody_from_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    leave(&path, "left");
    leave(&path, "given up");
    // One that was killed while it drove nothing.
    sql(&path).execute("INSERT INTO owner (id, host, pid, since) VALUES ('gone', 'web', 7, 'now')", []).unwrap();
    let journal = open(&path);
    journal.abandon(&"given up".into(), "old").wait().unwrap();
    sql(&path).execute("UPDATE owner SET since = 'now', host = CAST(x'e1' AS TEXT)", []).unwrap();
    assert_eq!(owners(&path), 3);

    let claimed = journal.claim(&Claim::of("left")).wait().unwrap();
    assert_eq!(claimed.events, events("left", 2));
    assert_eq!(journal.prune(SystemTime::now()).wait().unwrap(), 1);
    let left = journal.list(&RunQuery::all().with_abandoned()).wait().unwrap();
    assert_eq!(left.iter().map(|run| run.run.to_string()).collect::<Vec<_>>(), ["left"]);
    // That of the run that was removed goes with the next process.
    assert_eq!(owners(&path), 2);
}

#[test]
fn of_a_living_owner_whose_row_is_damaged_it_is_said_that_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, other) = (open(&path), open(&path));
    append(&journal, &claim(&journal, "r"), &events("r", 1));
    sql(&path).execute("UPDATE owner SET since = 'now'", []).unwrap();
    for refused in [other.claim(&Claim::of("r")).wait().map(drop), other.abandon(&"r".into(), "old").wait()] {
        let Err(JournalError::Owned { owner, .. }) = &refused else { panic!("{refused:?}") };
        assert_eq!(owner.host, "an unknown machine");
    }
}

#[cfg(unix)]
#[test]
fn an_owner_who_cannot_be_asked_keeps_its_own_run_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    for run in ["asked", "given up", "other"] {
        leave(&path, run);
    }
    let journal = open(&path);
    for run in ["given up", "other"] {
        journal.abandon(&run.into(), "old").wait().unwrap();
    }
    sql(&path)
        .execute("INSERT INTO owner (id, host, pid, since) VALUES ('idle', 'web', 7, '2026-01-01T00:00:00Z')", [])
        .unwrap();
    // Links that lead to themselves cannot be opened.
    let owners = folder.path().join("runs.db-owners");
    std::fs::create_dir_all(&owners).unwrap();
    let of_run: String = sql(&path)
        .query_row("SELECT owner.id FROM owner JOIN run ON owner = owner.key WHERE run.id = 'given up'", [], |row| {
            row.get(0)
        })
        .unwrap();
    for id in ["idle", &of_run] {
        std::os::unix::fs::symlink(owners.join(id), owners.join(id)).unwrap();
    }

    assert_eq!(journal.claim(&Claim::of("asked")).wait().unwrap().events, events("asked", 2));
    assert_eq!(journal.prune(SystemTime::now()).wait().unwrap(), 1);
    let left = journal.list(&RunQuery::all().with_abandoned().last_begun_first()).wait().unwrap();
    assert_eq!(left.iter().map(|run| run.run.to_string()).collect::<Vec<_>>(), ["given up", "asked"]);
}

#[test]
fn an_idle_process_whose_owner_was_taken_for_dead_drives_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (journal, other) = (open(&path), open(&path));
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    journal.release(&lease).wait().unwrap();
    std::fs::remove_dir_all(folder.path().join("runs.db-owners")).unwrap();
    claim(&other, "s");

    append(&journal, &claim(&journal, "t"), &events("t", 1));
    let refused = other.claim(&Claim::of("t")).wait();
    assert!(matches!(&refused, Err(JournalError::Owned { .. })), "{refused:?}");
    drop(journal);
    assert_eq!(other.claim(&Claim::of("t")).wait().unwrap().events, events("t", 1));
    assert!(other.check().wait().unwrap().is_empty());
}
