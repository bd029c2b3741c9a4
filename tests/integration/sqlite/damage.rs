//! A file that was changed behind the journal's back.

use std::fs;
use std::path::Path;

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Journal, RunQuery};
use step_machine::{JournalError, RunId, SqliteJournal};

use super::{append, claim, event, events, open, sql};

const RUNS: [&str; 3] = ["ended", "left", "crashed"];

/// A small journal with a run that ended, one that was given back, and one whose process is gone.
fn small(path: &Path) -> Vec<Vec<Event>> {
    let journal = open(path);
    for run in RUNS {
        let lease = claim(&journal, run);
        let mut events = events(run, 12);
        if run == "ended" {
            events.push(event(run, 13, r#""type":"step_end","step":"apply","status":"completed","attempt":1,"duration_ms":11000.0,"attempt_ms":11000.0"#));
            events.push(event(run, 14, r#""type":"run_end","status":"completed""#));
        }
        for some in events.chunks(2) {
            append(&journal, &lease, some);
        }
        if run != "crashed" {
            journal.release(&lease).wait().unwrap();
        }
    }
    let load = |run: &&str| journal.load(&RunId::from(*run)).wait().unwrap();
    RUNS.iter().map(load).collect()
}

/// What loads otherwise than it was written, without an error.
fn silent(bytes: &[u8], copy: &Path, expected: &[Vec<Event>]) -> Vec<&'static str> {
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(copy.with_extension(format!("db{end}")));
    }
    fs::write(copy, bytes).unwrap();
    let Ok(journal) = SqliteJournal::open_read_only(copy) else { return Vec::new() };
    let differs = |(run, expected): (&'static str, &Vec<Event>)| match journal.load(&run.into()).wait() {
        Ok(found) => (found != *expected).then_some(run),
        Err(_) => None,
    };
    RUNS.into_iter().zip(expected).filter_map(differs).collect()
}

#[test]
fn a_byte_that_is_flipped_anywhere_changes_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let expected = small(&path);
    let bytes = fs::read(&path).unwrap();
    let copy = folder.path().join("copy.db");
    assert_eq!(silent(&bytes, &copy, &expected), Vec::<&str>::new());

    // All of the pages' heads, and every so many bytes of the rest.
    let step: usize = std::env::var("FLIP_EVERY").ok().and_then(|step| step.parse().ok()).unwrap_or(61);
    let places = (0..bytes.len()).filter(|at| at % 4096 < 16 || at % step == 0);
    let mut faults = Vec::new();
    for at in places {
        let mut bytes = bytes.clone();
        bytes[at] ^= if at % 2 == 0 { 0x01 } else { 0xff };
        let runs = silent(&bytes, &copy, &expected);
        if !runs.is_empty() {
            faults.push(format!("byte {} of page {}: {runs:?}", at % 4096, at / 4096 + 1));
        }
    }
    assert!(faults.is_empty(), "{} of them are silent:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_file_that_was_cut_off_anywhere_changes_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let expected = small(&path);
    let bytes = fs::read(&path).unwrap();
    for length in (1..bytes.len()).step_by(509) {
        let found = silent(&bytes[..length], &folder.path().join("copy.db"), &expected);
        assert!(found.is_empty(), "cut off after {length} bytes: {found:?}");
    }
}

/// Changes the file as the statement says, and gives what loading the run says then.
fn after(statement: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    small(&path);
    sql(&path).execute_batch(statement).unwrap();
    let journal = open(&path);
    let error = journal.load(&"left".into()).wait().unwrap_err();
    let JournalError::Damaged { what, .. } = &error else { panic!("{error:?}") };

    // It says so of no other run, whoever asks; the list still has it, and it can be given up.
    assert_eq!(journal.load(&"ended".into()).wait().unwrap().len(), 14);
    let findings = journal.check().wait().unwrap();
    let runs: Vec<_> = findings.iter().filter_map(|finding| finding.run.clone()).collect();
    assert_eq!(runs, [RunId::from("left")], "{findings:?}");
    let refused = journal.claim(&step_machine::journal::Claim::of("left")).wait();
    assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{refused:?}");
    assert_eq!(journal.list(&RunQuery::unfinished()).wait().unwrap().len(), 2);
    journal.abandon(&"left".into(), "damaged").wait().unwrap();
    assert_eq!(journal.list(&RunQuery::unfinished()).wait().unwrap().len(), 1);
    what.clone()
}

const OF_LEFT: &str = "run = (SELECT key FROM run WHERE id = 'left')";

#[test]
fn what_is_missing_or_changed_is_named() {
    let cases = [
        (format!("DELETE FROM record WHERE first_seq = 5 AND {OF_LEFT}"), "event 5 is missing, event 7 comes next"),
        (format!("DELETE FROM record WHERE first_seq = 11 AND {OF_LEFT}"), "event 12 is missing"),
        (
            format!("UPDATE record SET body = replace(body, 'some', 'more') WHERE first_seq = 5 AND {OF_LEFT}"),
            "events 5 to 6 are not as they were written",
        ),
        (
            format!("UPDATE record SET epoch = 7 WHERE first_seq = 1 AND {OF_LEFT}"),
            "events 1 to 2 are not as they were written",
        ),
    ];
    for (statement, expected) in cases {
        assert_eq!(after(&statement), expected);
    }
}

#[test]
fn a_sound_journal_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    small(&folder.path().join("runs.db"));
    let journal = open(&folder.path().join("runs.db"));
    assert!(journal.check().wait().unwrap().is_empty());
    assert_eq!(journal.list(&RunQuery::all().status(RunStatus::Completed)).wait().unwrap().len(), 1);
}
