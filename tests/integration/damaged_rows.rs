//! Rows that were changed behind a journal's back, whichever database they are in.

use std::time::{Duration, SystemTime};

use step_machine::event::{Event, RunStatus};
use step_machine::journal::{Append, Claim, Journal, Lease, RunQuery};
use step_machine::{JournalError, RunId};

use crate::sqlite::{event, events};

pub(crate) const RUNS: [&str; 3] = ["ended", "left", "crashed"];

/// How the runs were driven, which their rows show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Driven {
    /// In turn: each append is a row.
    Together,
    /// One after another: in a file, an append goes to the row that is there, until that is full.
    Alone,
}

impl Driven {
    pub(crate) const BOTH: [Self; 2] = [Self::Together, Self::Alone];

    /// The number of the last event of a run that did not end.
    fn count(self) -> u64 {
        match self {
            Self::Together => 12,
            Self::Alone => 70,
        }
    }
}

fn claim(journal: &dyn Journal, run: &str) -> Lease {
    journal.claim(&Claim::of(run)).wait().unwrap().lease
}

fn append(journal: &dyn Journal, lease: &Lease, events: &[Event]) {
    journal.append(Append::new(lease, events)).wait().unwrap();
}

/// Keeps a run that ended, one that is given back, and one whose process is gone once the journal is closed.
pub(crate) fn fill(journal: &dyn Journal, driven: Driven) -> Vec<Vec<Event>> {
    let count = driven.count();
    let ends = [
        r#""type":"step_end","step":"apply","status":"completed","attempt":1,"duration_ms":11000.0,"attempt_ms":11000.0"#,
        r#""type":"run_end","status":"completed""#,
    ];
    let all = RUNS.map(|run| {
        let ends = (1..).zip(ends).filter(|_| run == "ended").map(|(more, fields)| event(run, count + more, fields));
        events(run, count).into_iter().chain(ends).collect::<Vec<_>>()
    });
    let leases = RUNS.map(|run| claim(journal, run));
    let put =
        |run: usize, at: usize| all[run].chunks(2).nth(at).iter().for_each(|two| append(journal, &leases[run], two));
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

/// Where the row of the run `left` is that begins with this event.
fn at(first_seq: u64) -> String {
    format!("first_seq = {first_seq} AND run = (SELECT key FROM run WHERE id = 'left')")
}

/// What may happen to the rows of `left` where each append is one, and what is said of it.
pub(crate) fn changes() -> [(String, &'static str); 8] {
    let body = "body = replace(body, 'some', 'more')";
    [
        (format!("DELETE FROM record WHERE {}", at(1)), "event 1 is missing, event 3 comes next"),
        (format!("DELETE FROM record WHERE {}", at(5)), "event 5 is missing, event 7 comes next"),
        (format!("DELETE FROM record WHERE {}", at(11)), "event 12 is missing"),
        (format!("UPDATE record SET {body} WHERE {}", at(5)), "events 5 to 6 are not as they were written"),
        (format!("UPDATE record SET epoch = 7 WHERE {}", at(1)), "events 1 to 2 are not as they were written"),
        (
            format!("UPDATE record SET checksum = 1 - checksum WHERE {}", at(3)),
            "events 3 to 4 are not as they were written",
        ),
        (format!("UPDATE record SET percentage = 50 WHERE {}", at(3)), "events 3 to 4 are not as they were written"),
        (format!("UPDATE record SET phase = 'other' WHERE {}", at(11)), "events 11 to 12 are not as they were written"),
    ]
}

/// What a journal says of the run `left`, which is damaged. The others are as they were and go on.
pub(crate) fn said_of_left(journal: &dyn Journal, expected: &[Vec<Event>]) -> String {
    let error = journal.load(&"left".into()).wait().unwrap_err();
    let JournalError::Damaged { what, .. } = &error else { panic!("{error:?}") };
    let refused = journal.claim(&Claim::of("left")).wait();
    assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{refused:?}");
    the_others_go_on(journal, expected);

    // The list still has it, and it can be given up.
    assert_eq!(journal.list(&RunQuery::unfinished()).wait().unwrap().len(), 2);
    is_given_up(journal);
    assert_eq!(journal.list(&RunQuery::unfinished()).wait().unwrap().len(), 1);
    what.clone()
}

/// Changes, by `change`, when something was last heard of the run `ended`, so that it seems to be long over.
pub(crate) fn is_not_removed_for_a_time_that_was_changed(journal: &dyn Journal, change: impl FnOnce(&str)) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    change("run = (SELECT key FROM run WHERE id = 'ended') AND last_seq = 14");
    let listed = journal.list(&RunQuery::of("ended")).wait().unwrap();
    assert_eq!(listed[0].updated_at, SystemTime::UNIX_EPOCH);
    assert_eq!(journal.prune(long_ago).wait().unwrap(), 0);
    let error = journal.load(&"ended".into()).wait().unwrap_err();
    let JournalError::Damaged { what, .. } = &error else { panic!("{error:?}") };
    assert_eq!(what, "events 13 to 14 are not as they were written");
    // One that was given up need not be kept.
    journal.abandon(&"ended".into(), "damaged").wait().unwrap();
    assert_eq!(journal.prune(long_ago).wait().unwrap(), 1);
    assert_eq!(journal.list(&RunQuery::of("ended")).wait().unwrap(), []);
}

fn the_others_go_on(journal: &dyn Journal, expected: &[Vec<Event>]) {
    assert_eq!(journal.load(&"ended".into()).wait().unwrap(), expected[0]);
    let claimed = journal.claim(&Claim::of("crashed")).wait().unwrap();
    assert_eq!(claimed.events, expected[2]);
    let next = expected[2].len();
    append(journal, &claimed.lease, &events("crashed", next as u64 + 1)[next..]);
    journal.release(&claimed.lease).wait().unwrap();
}

fn is_given_up(journal: &dyn Journal) {
    journal.abandon(&"left".into(), "damaged").wait().unwrap();
    let refused = journal.claim(&Claim::of("left")).wait();
    assert!(matches!(&refused, Err(JournalError::Abandoned { why, .. }) if why == "damaged"), "{refused:?}");
}

/// What the list says of the run `left`, whose own row is damaged. It has the others as they are, and the run can be
/// given up; `change` is told where it fails.
pub(crate) fn said_of_row_of_left(journal: &dyn Journal, expected: &[Vec<Event>], change: &str) -> String {
    let listed = |query: RunQuery| journal.list(&query).wait().unwrap();
    let mut found = listed(RunQuery::all());
    assert_eq!(found.len(), 3, "{change}: {found:?}");
    found.retain(|run| run.run == "left".into());
    let [left] = &found[..] else { panic!("{change}: {found:?}") };
    let error = left.error.clone().unwrap_or_else(|| panic!("{change}: {left:?}"));
    let what = error.strip_prefix("what the journal has of it cannot be read: ").expect(&error);
    assert_eq!(left.status, RunStatus::Running, "{change}");
    // It can be written down, whatever its times are.
    serde_json::to_string(left).unwrap();
    assert_eq!(listed(RunQuery::of("ended"))[0].error, None, "{change}");
    assert_eq!(listed(RunQuery::all().label("who", "anna")), [], "{change}");
    the_others_go_on(journal, expected);
    is_given_up(journal);
    assert!(listed(RunQuery::all()).iter().all(|run| run.run != "left".into()), "{change}");
    what.to_owned()
}
