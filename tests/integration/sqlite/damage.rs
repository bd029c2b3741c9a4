//! A file that was changed behind the journal's back.

use std::fs;
use std::path::Path;

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Journal, RunQuery};
use step_machine::{JournalError, RunId, SqliteJournal};

use super::{append, claim, event, events, open, rows_of, sql};

const RUNS: [&str; 3] = ["ended", "left", "crashed"];

/// How the runs were driven, which their rows show.
#[derive(Debug, Clone, Copy)]
enum Driven {
    /// In turn: each append is a row.
    Together,
    /// One after another: an append goes to the row that is there, until that is full.
    Alone,
}

impl Driven {
    const BOTH: [Self; 2] = [Self::Together, Self::Alone];

    /// The number of the last event of a run that did not end.
    fn count(self) -> u64 {
        match self {
            Self::Together => 12,
            Self::Alone => 70,
        }
    }
}

/// A small journal with a run that ended, one that was given back, and one whose process is gone.
fn small(path: &Path, driven: Driven) -> Vec<Vec<Event>> {
    let journal = open(path);
    let count = driven.count();
    let ends = [
        r#""type":"step_end","step":"apply","status":"completed","attempt":1,"duration_ms":11000.0,"attempt_ms":11000.0"#,
        r#""type":"run_end","status":"completed""#,
    ];
    let all = RUNS.map(|run| {
        let ends = (1..).zip(ends).filter(|_| run == "ended").map(|(more, fields)| event(run, count + more, fields));
        events(run, count).into_iter().chain(ends).collect::<Vec<_>>()
    });
    let leases = RUNS.map(|run| claim(&journal, run));
    let put =
        |run: usize, at: usize| all[run].chunks(2).nth(at).iter().for_each(|two| append(&journal, &leases[run], two));
    let most = all[0].len().div_ceil(2);
    match driven {
        Driven::Together => (0..most).for_each(|at| (0..RUNS.len()).for_each(|run| put(run, at))),
        Driven::Alone => (0..RUNS.len()).for_each(|run| (0..most).for_each(|at| put(run, at))),
    }
    for lease in &leases[..2] {
        journal.release(lease).wait().unwrap();
    }
    let load = |run: &&str| journal.load(&RunId::from(*run)).wait().unwrap();
    let loaded: Vec<_> = RUNS.iter().map(load).collect();
    assert_eq!(loaded, all);
    loaded
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
    let error = journal.load(&"left".into()).wait().unwrap_err();
    let JournalError::Damaged { what, .. } = &error else { panic!("{error:?}") };

    // It says so of no other run, whoever asks; the list still has it, and it can be given up.
    assert_eq!(journal.load(&"ended".into()).wait().unwrap(), expected[0]);
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
    let whole = "what the journal has of it cannot be read: ";
    for column in ["labels = '{'", "metadata = '[1'", "status = 'runing'", "started_at = 'noon'", "id_check = 7"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        small(&path, Driven::Together);
        sql(&path).execute(&format!("UPDATE run SET {column} WHERE id = 'left'"), []).unwrap();
        let journal = open(&path);
        let listed = |query: RunQuery| journal.list(&query).wait().unwrap();
        let mut found = listed(RunQuery::all());
        found.retain(|run| run.run == "left".into());
        let [left] = &found[..] else { panic!("{column}: {found:?}") };
        assert!(left.error.as_ref().is_some_and(|error| error.starts_with(whole)), "{column}: {:?}", left.error);
        assert_eq!(left.status, RunStatus::Running, "{column}");
        assert_eq!(listed(RunQuery::of("ended"))[0].error, None, "{column}");
        assert_eq!(listed(RunQuery::all().label("who", "anna")), [], "{column}");
        journal.abandon(&"left".into(), "damaged").wait().unwrap();
        assert!(listed(RunQuery::all()).iter().all(|run| run.run != "left".into()), "{column}");
    }
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
