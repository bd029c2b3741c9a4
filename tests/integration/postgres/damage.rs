//! Rows that were changed or removed behind the journal's back.

use step_machine::JournalError;
use step_machine::event::Event;
use step_machine::journal::{Claim, Journal, RunQuery};

use super::{Place, append};
use crate::damaged_rows::{
    Driven, changes, fill, is_not_removed_for_a_time_that_was_changed, said_of_left, said_of_row_of_left,
};
use crate::sqlite::{event, events};

/// A journal with a run that ended, one that was given back, and one whose process is gone.
fn small() -> (Place, Vec<Vec<Event>>) {
    let place = Place::new();
    let all = fill(&place.open(), Driven::Together);
    (place, all)
}

#[test]
fn what_is_missing_or_changed_is_named_and_keeps_no_other_run() {
    for (statement, expected) in changes() {
        let (place, all) = small();
        place.rows(&statement);
        assert_eq!(said_of_left(&place.open(), &all), expected, "{statement}");
    }
}

#[test]
fn a_run_whose_time_was_changed_is_not_removed() {
    let (place, _) = small();
    let change = |row: &str| drop(place.rows(&format!("UPDATE record SET at = 'epoch' WHERE {row}")));
    is_not_removed_for_a_time_that_was_changed(&place.open(), change);
}

#[test]
fn a_phase_that_the_database_cannot_keep_as_it_is_is_no_damage() {
    let journal = Place::new().open();
    let lease = super::claim(&journal, "r");
    let progress =
        r#""progress":{"percentage":0.0,"step_number":1,"total_steps":1,"completed":0,"current":"a\u0000b"}"#;
    let mut all = events("r", 2);
    all.push(event("r", 3, &format!(r#""type":"step_update","step":"apply","message":"news",{progress}"#)));
    append(&journal, &lease, &all);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all);
    assert_eq!(journal.list(&RunQuery::of("r")).wait().unwrap()[0].phase.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn a_claim_that_cannot_be_made_fails_no_other_one() {
    let journal = Place::new().open();
    // Longer than a page of an index takes, and of such digits that it cannot be made shorter.
    let mut digits = 88_172_645_463_325_252_u64;
    let more = |_| {
        digits ^= digits << 13;
        digits ^= digits >> 7;
        digits ^= digits << 17;
        format!("{digits:016x}")
    };
    let long: String = (0..400).map(more).collect();
    // The first keeps the writer busy, so that the others wait together.
    let first = journal.claim(&Claim::of("first"));
    let bad = journal.claim(&Claim::of(long));
    let others = (0..20).map(|number| journal.claim(&Claim::of(format!("other {number}")))).collect::<Vec<_>>();
    assert!(first.wait().is_ok());
    let refused = bad.wait();
    let Err(JournalError::Write { source, .. }) = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("index row size"), "{source}");
    for other in others {
        assert!(other.wait().unwrap().events.is_empty());
    }
}

#[test]
fn a_row_that_is_missing_is_missed_also_where_many_are_read() {
    let place = Place::new();
    let journal = place.open();
    let lease = super::claim(&journal, "r");
    // Each is a row of its own: more than are read at once.
    for event in events("r", 600).chunks(1) {
        append(&journal, &lease, event);
    }
    journal.release(&lease).wait().unwrap();
    assert_eq!(place.rows("SELECT count(*) FROM record"), ["600"]);
    place.rows("DELETE FROM record WHERE first_seq = 513");
    let error = journal.load(&"r".into()).wait().unwrap_err();
    assert!(error.to_string().contains("event 513 is missing, event 514 comes next"), "{error}");
}

#[test]
fn a_run_whose_own_row_is_damaged_hides_no_other() {
    for (change, expected) in [
        ("labels = '[1]'", "its labels: invalid type: "),
        ("labels = '{\"who\": 1}'", "its labels: invalid type: integer `1`, expected a string"),
        ("metadata = '[1]'", "its metadata: invalid type: "),
        ("status = 'runing'", "its status: unknown variant `runing`"),
        ("status = NULL", "its status: it is missing"),
        ("started_at = NULL", "its start: it is missing"),
        ("started_at = '-infinity'", "its start: it is out of range"),
        ("workflow = NULL", "its workflow: it is missing"),
    ] {
        let (place, all) = small();
        place.rows(&format!("UPDATE run SET {change} WHERE id = 'left'"));
        let said = said_of_row_of_left(&place.open(), &all, change);
        assert!(said.starts_with(expected), "{change}: {said}");
    }
}

#[test]
fn a_run_whose_last_row_is_damaged_or_gone_hides_no_other() {
    let of_left = "run = (SELECT key FROM run WHERE id = 'left')";
    for (statement, expected) in [
        (format!("UPDATE record SET at = 'infinity' WHERE {of_left}"), "its last event: it is out of range"),
        (format!("DELETE FROM record WHERE {of_left}"), "its last event: it is missing"),
    ] {
        let (place, all) = small();
        place.rows(&statement);
        assert_eq!(said_of_row_of_left(&place.open(), &all, &statement), expected);
    }
}

/// The row of a run says up to where it goes when it was given back or its status changed. What a process wrote after
/// that and before it died is not missed, as is said in `docs/journal.md`.
#[test]
fn of_a_run_that_crashed_the_newest_rows_are_missed_up_to_its_last_change_only() {
    let (place, all) = small();
    place.rows("DELETE FROM record WHERE first_seq > 5 AND run = (SELECT key FROM run WHERE id = 'crashed')");
    let journal = place.open();
    assert_eq!(journal.load(&"crashed".into()).wait().unwrap(), all[2][..6]);
    let claimed = journal.claim(&Claim::of("crashed")).wait().unwrap();
    append(&journal, &claimed.lease, &events("crashed", 7)[6..]);
    journal.release(&claimed.lease).wait().unwrap();
    place.rows("DELETE FROM record WHERE first_seq > 5 AND run = (SELECT key FROM run WHERE id = 'crashed')");
    let error = journal.load(&"crashed".into()).wait().unwrap_err();
    assert!(error.to_string().contains("event 7 is missing"), "{error}");
    assert_eq!(journal.list(&RunQuery::all()).wait().unwrap().len(), 3);
}
