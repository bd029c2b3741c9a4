//! A file that was changed behind the journal's back.

use std::fs;
use std::path::Path;

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Claim, Journal, RunQuery};
use step_machine::{JournalError, RunId, SqliteJournal};

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

/// What may happen to the rows of `crashed`; what `check` says of it; and whether the run can be claimed then.
const ROWS: [(&str, &str, bool); 17] = [
    ("UPDATE run SET metadata = CAST(x'7bfd' AS TEXT)", "its metadata: invalid utf-8 ", false),
    ("UPDATE run SET metadata = '{\"a'", "its metadata: EOF while parsing a string ", false),
    ("UPDATE run SET metadata = '{\"a\":1}'", "its metadata: it is not what its events say", true),
    ("UPDATE run SET status = 'runing'", "its status: unknown variant `runing`", true),
    ("UPDATE run SET status = 'completed'", "its status: it is not what its events say", true),
    ("UPDATE run SET labels = '{'", "its labels: EOF while parsing an object ", true),
    ("UPDATE run SET workflow = NULL", "its workflow: it is missing", true),
    ("UPDATE run SET workflow = 'qrovision'", "its workflow: it is not what its events say", true),
    ("UPDATE run SET parent = 'left'", "its parent: it is not what its events say", true),
    ("UPDATE run SET id_check = 7", "the id `crashed` is not as it was written", true),
    ("UPDATE run SET abandoned_why = CAST(x'e1' AS TEXT)", "its reason why it was given up: ", false),
    ("UPDATE owner SET since = '2026-13'", "its owner: ", true),
    ("UPDATE owner SET host = CAST(x'e1' AS TEXT)", "its owner: ", true),
    ("UPDATE owner SET id = CAST(x'e1' AS TEXT)", "", true),
    ("UPDATE record SET phase = CAST(x'e1' AS TEXT)", "events 11 to 12 are not as they were written", false),
    ("UPDATE record SET percentage = 50.0", "events 11 to 12 are not as they were written", false),
    ("UPDATE record SET at_us = at_us + 1", "events 11 to 12 are not as they were written", false),
];

#[test]
fn what_is_wrong_with_any_row_of_a_run_is_found_and_the_run_can_be_given_up() {
    for (change, found, can_go_on) in ROWS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        small(&path, Driven::Together);
        let of_crashed = "(SELECT key FROM run WHERE id = 'crashed')";
        let row = match change.split(' ').nth(1) {
            Some("owner") => "key = (SELECT owner FROM run WHERE id = 'crashed')".to_owned(),
            Some("record") => format!("run = {of_crashed} AND last_seq = 12"),
            _ => format!("key = {of_crashed}"),
        };
        assert_eq!(sql(&path).execute(&format!("{change} WHERE {row}"), []).unwrap(), 1, "{change}");

        let journal = open(&path);
        let findings = journal.check().wait().unwrap();
        assert_eq!(findings.is_empty(), found.is_empty(), "{change}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.run == Some("crashed".into())), "{change}: {findings:?}");
        let texts = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(texts.contains(found) && !texts.contains("left"), "{change}: {texts}");
        match journal.claim(&Claim::of("crashed")).wait() {
            Ok(claimed) if can_go_on => journal.release(&claimed.lease).wait().unwrap(),
            Err(JournalError::Damaged { .. }) if !can_go_on => {}
            claimed => panic!("{change}: {claimed:?}"),
        }
        journal.abandon(&"crashed".into(), "damaged").wait().unwrap();
        let refused = journal.claim(&Claim::of("crashed")).wait();
        assert!(
            matches!(&refused, Err(JournalError::Abandoned { why, .. }) if why == "damaged"),
            "{change}: {refused:?}"
        );
    }
}

#[test]
fn an_id_that_cannot_be_read_hides_no_other_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    small(&path, Driven::Together);
    let file = sql(&path);
    // The last one is a run, but that its row is gone.
    file.execute_batch(&format!(
        "PRAGMA foreign_keys = OFF; DELETE FROM run WHERE id = 'crashed';
        UPDATE record SET checksum = 1 - checksum WHERE first_seq = 3 AND {OF_LEFT};
        UPDATE run SET id = CAST(x'656e6465ff' AS TEXT) WHERE id = 'ended'"
    ))
    .unwrap();
    let findings = open(&path).check().wait().unwrap();
    let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
    let [lost, id, left] = &texts[..] else { panic!("{texts:?}") };
    assert_eq!(lost, "rows of `record` that belong to a missing row of `run`: 6");
    assert!(id.starts_with("the run of the key 1: its id cannot be read: "), "{id}");
    assert!(left.contains("run left: its journal is damaged: events 3 to 4 are not as they were written"), "{left}");
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
