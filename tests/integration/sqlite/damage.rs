//! A file that was changed behind the journal's back.

use std::fs;
use std::path::Path;

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Journal, RunQuery};
use step_machine::{RunId, SqliteJournal};

use super::{open, rows_of, sql};
use crate::damaged_rows::{Driven, RUNS, changes, fill, said_of_left, said_of_row_of_left};

/// A small journal with a run that ended, one that was given back, and one whose process is gone.
fn small(path: &Path, driven: Driven) -> Vec<Vec<Event>> {
    fill(&open(path), driven)
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
    Driven::BOTH.into_iter().for_each(flip_everywhere);
}

fn flip_everywhere(driven: Driven) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let expected = small(&path, driven);
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
    assert!(faults.is_empty(), "{driven:?}: {} of them are silent:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_file_that_was_cut_off_anywhere_changes_nothing_silently() {
    Driven::BOTH.into_iter().for_each(cut_off_everywhere);
}

fn cut_off_everywhere(driven: Driven) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let expected = small(&path, driven);
    let bytes = fs::read(&path).unwrap();
    for length in (1..bytes.len()).step_by(509) {
        let found = silent(&bytes[..length], &folder.path().join("copy.db"), &expected);
        assert!(found.is_empty(), "{driven:?}, cut off after {length} bytes: {found:?}");
    }
}

/// Changes the file as the statement says, and gives what loading the run says then.
fn after(driven: Driven, statement: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let expected = small(&path, driven);
    sql(&path).execute_batch(statement).unwrap();
    let journal = open(&path);
    let findings = journal.check().wait().unwrap();
    let runs: Vec<_> = findings.iter().filter_map(|finding| finding.run.clone()).collect();
    assert_eq!(runs, [RunId::from("left")], "{findings:?}");
    said_of_left(&journal, &expected)
}

const OF_LEFT: &str = "run = (SELECT key FROM run WHERE id = 'left')";

#[test]
fn what_is_missing_or_changed_is_named() {
    for (statement, expected) in changes() {
        assert_eq!(after(Driven::Together, &statement), expected);
    }
}

#[test]
fn what_is_missing_or_changed_in_rows_that_were_added_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    small(&path, Driven::Alone);
    let rows = rows_of(&path, "left");
    let [(1, first), (second, _), (third, 70)] = rows[..] else { panic!("{rows:?}") };
    let at = |seq: u64| format!("first_seq = {seq} AND {OF_LEFT}");
    let cases = [
        (format!("DELETE FROM record WHERE {}", at(1)), format!("event 1 is missing, event {second} comes next")),
        (
            format!("DELETE FROM record WHERE {}", at(second)),
            format!("event {second} is missing, event {third} comes next"),
        ),
        (format!("DELETE FROM record WHERE {}", at(third)), "event 70 is missing".to_owned()),
        // As it was before its last append.
        (
            format!("UPDATE record SET last_seq = 68 WHERE {}", at(third)),
            format!("events {third} to 68 are not as they were written"),
        ),
        (
            format!("UPDATE record SET body = replace(body, 'some', 'more') WHERE {}", at(1)),
            format!("events 1 to {first} are not as they were written"),
        ),
    ];
    for (statement, expected) in cases {
        assert_eq!(after(Driven::Alone, &statement), expected);
    }
}

#[test]
fn a_run_whose_own_row_is_damaged_hides_no_other() {
    for (change, expected) in [
        ("labels = '{'", "its labels: EOF while parsing an object at line 1 column 1"),
        ("labels = ''", "its labels: EOF while parsing a value at line 1 column 0"),
        ("metadata = '{\"a\"'", "its metadata: EOF while parsing an object at line 1 column 4"),
        ("status = 'runing'", "its status: unknown variant `runing`"),
        ("status = NULL", "its status: it is missing"),
        ("started_at = 'noon'", "its start: "),
        ("started_at = '9999-12-31T23:59:59Z'", "its start: it is out of range"),
        ("id_check = 7", "the id `left` is not as it was written"),
        ("workflow = NULL", "its workflow: it is missing"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let all = small(&path, Driven::Together);
        sql(&path).execute(&format!("UPDATE run SET {change} WHERE id = 'left'"), []).unwrap();
        let said = said_of_row_of_left(&open(&path), &all, change);
        assert!(said.starts_with(expected), "{change}: {said}");
    }
}

#[test]
fn a_run_of_which_no_event_is_left_is_still_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let all = small(&path, Driven::Together);
    sql(&path).execute(&format!("DELETE FROM record WHERE {OF_LEFT}"), []).unwrap();
    let said = said_of_row_of_left(&open(&path), &all, "no rows");
    assert_eq!(said, "its last event: it is missing");
}

#[test]
fn a_sound_journal_has_no_findings() {
    for driven in Driven::BOTH {
        let folder = tempfile::tempdir().unwrap();
        small(&folder.path().join("runs.db"), driven);
        let journal = open(&folder.path().join("runs.db"));
        assert!(journal.check().wait().unwrap().is_empty());
        assert_eq!(journal.list(&RunQuery::all().status(RunStatus::Completed)).wait().unwrap().len(), 1);
    }
}
