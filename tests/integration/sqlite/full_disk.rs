//! Two runs side by side on a disk that fails at every call that there is, in the same order each time: so that also the
//! zeros that are put behind the log find none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Lease, Waiting};
use step_machine::{Journal, JournalError, SqliteJournal};

use super::{append, claim, events, sql};
use crate::disk::{Call, Disk, Faults};

const VARIABLE: &str = "STEP_MACHINE_TEST_FULL_DISK";

/// So many events each of the two runs has.
const EVENTS: usize = 24;

/// What is said to do where the file is opened, or by the first who claims.
const ADVICE: [&str; 4] = [
    "there is no room left for it; make some on its disk, then try again",
    "see that its directory is there and may be written to, and that its disk has room",
    "see that its disk has room and is sound",
    "see that a folder next to it can be made and locked",
];

/// The other process.
#[test]
fn works_where_another_test_asks_for_it() {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let path = Path::new(&path);
    if path.ends_with("broken.db") {
        return groups_that_fail(path);
    }
    if let Err(error) = two_runs(path, &path.with_extension("acknowledged")) {
        let said = match error {
            JournalError::Write { .. } => "write".to_owned(),
            JournalError::Store { advice, .. } => advice,
            other => format!("{other:?}"),
        };
        fs::write(path.with_extension("said"), said).unwrap();
    }
}

fn two_runs(path: &Path, acknowledged: &Path) -> Result<(), JournalError> {
    let journal = SqliteJournal::open(path)?;
    let claim = |run: &str| Ok::<_, JournalError>(journal.claim(&Claim::of(run)).wait()?.lease);
    let runs = [("r", claim("r")?), ("s", claim("s")?)].map(|(run, lease)| (lease, events(run, EVENTS as u64)));
    for number in 0..EVENTS {
        for (at, (lease, events)) in runs.iter().enumerate() {
            journal.append(Append::new(lease, &events[number..=number])).wait()?;
            fs::write(acknowledged, (number * 2 + at + 1).to_string()).unwrap();
        }
    }
    Ok(())
}

struct Tried {
    calls: Vec<Call>,
    /// What the journal said, where it said anything.
    said: Option<String>,
}

fn try_on(folder: &Path, faults: Faults) -> Tried {
    let path = folder.join("runs.db");
    let disk = Disk::of(&path, &folder.join("disk.log"));
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["sqlite::full_disk::works_where_another_test_asks_for_it", "--exact"]);
    other.env(VARIABLE, &path).stdout(Stdio::null());
    disk.under(&mut other, faults);
    assert!(other.status().unwrap().success(), "{faults:?}");
    Tried { calls: disk.calls(), said: fs::read_to_string(path.with_extension("said")).ok() }
}

/// Asserts that all that was acknowledged is there, that nothing is wrong, and that both runs go on.
fn goes_on(path: &PathBuf, told: &str) {
    let acknowledged = fs::read_to_string(path.with_extension("acknowledged")).map_or(0, |text| text.parse().unwrap());
    let journal = SqliteJournal::open(path).unwrap();
    assert!(journal.check().wait().unwrap().is_empty(), "{told}");
    for (run, least) in [("r", usize::div_ceil(acknowledged, 2)), ("s", acknowledged / 2)] {
        let all: Vec<Event> = events(run, EVENTS as u64);
        let found = journal.load(&run.into()).wait().unwrap();
        assert!(found.len() >= least && found == all[..found.len()], "{} of {least} of {run}: {told}", found.len());
        let lease = claim(&journal, run);
        append(&journal, &lease, &all[found.len()..]);
        assert_eq!(journal.load(&run.into()).wait().unwrap(), all, "{told}");
    }
    assert!(journal.check().wait().unwrap().is_empty(), "{told}");
}

fn everywhere(faults: impl Fn(usize) -> Faults) -> Vec<Call> {
    let mut failed = Vec::new();
    for at in 1..2000 {
        let folder = tempfile::tempdir().unwrap();
        let Tried { calls, said } = try_on(folder.path(), faults(at));
        let first = calls.iter().find(|call| call.has_failed).cloned();
        let told = format!("{first:?}, {said:?}");
        if let Some(said) = &said {
            assert!(said == "write" || ADVICE.contains(&said.as_str()), "{told}");
        }
        goes_on(&folder.path().join("runs.db"), &told);
        match first {
            Some(call) => failed.push(call),
            None => {
                assert_eq!(said, None);
                return failed;
            }
        }
    }
    panic!("it never gets through");
}

/// The calls that put zeros behind the log: SQLite writes no more than a page at once.
fn zeros(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.what == "write" && call.size > 4096).count()
}

#[test]
fn nothing_that_was_acknowledged_is_lost_where_room_ends_at_any_call() {
    let healthy = try_on(tempfile::tempdir().unwrap().path(), Faults::default());
    assert!(healthy.said.is_none() && zeros(&healthy.calls) > 0, "{:?}", healthy.calls);
    let failed = everywhere(|at| Faults { full_from: Some(at), ..Faults::default() });
    assert_eq!(zeros(&failed), zeros(&healthy.calls));
    println!("{} calls, {} of zeros", failed.len(), zeros(&failed));
}

/// As most file systems do it: half of the write that finds no room is done, and what is there can be written over.
#[test]
fn nothing_that_was_acknowledged_is_lost_where_nothing_can_grow_from_any_call_on() {
    let failed = everywhere(|at| Faults { full_from: Some(at), is_torn: true, only_growth: true, ..Faults::default() });
    assert!(zeros(&failed) > 0, "{failed:?}");
    println!("{} calls, {} of zeros", failed.len(), zeros(&failed));
}

#[test]
fn nothing_that_was_acknowledged_is_lost_where_any_wait_for_the_disk_fails() {
    let failed = everywhere(|at| Faults { unsynced_at: Some(at), ..Faults::default() });
    assert!(failed.len() > 2 * EVENTS && failed.iter().all(Call::is_sync), "{failed:?}");
}

/// Groups of ever fewer runs, each of which is written and not kept by the disk; then the process dies.
fn groups_that_fail(path: &Path) {
    let journal = SqliteJournal::open(path).unwrap();
    let append = |lease: &Lease, events: &[Event]| {
        let mut append = Append::new(lease, events);
        append.waiting = Waiting::Nobody;
        journal.append(append)
    };
    let first = claim(&journal, "first");
    let groups = [60, 40, 20, 4].map(|size| {
        (0..size)
            .map(|at| format!("run-{size}-{at}"))
            .map(|run| (claim(&journal, &run), events(&run, 2)))
            .collect::<Vec<_>>()
    });
    append(&first, &events("first", 1)).wait().unwrap();
    let broken = path.with_extension("broken");
    for group in groups {
        // Somebody else writes, so that all come to wait behind the one that is tried meanwhile.
        let other = sql(path);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let before = append(&first, &[]);
        let replies: Vec<_> = group.iter().map(|(lease, events)| append(lease, events)).collect();
        fs::write(&broken, "").unwrap();
        other.execute_batch("ROLLBACK").unwrap();
        drop(before.wait());
        for reply in replies {
            let refused = reply.wait();
            assert!(matches!(&refused, Err(JournalError::Write { .. })), "{refused:?}");
        }
    }
    // Once the disk is sound again, what is acknowledged stays.
    fs::remove_file(broken).unwrap();
    append(&claim(&journal, "last"), &events("last", 2)).wait().unwrap();
    std::process::abort();
}

#[test]
fn waits_for_the_disk_that_fail_again_and_again_leave_a_log_that_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.db");
    let disk = Disk::of(&path, &folder.path().join("disk.log"));
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["sqlite::full_disk::works_where_another_test_asks_for_it", "--exact"]);
    other.env(VARIABLE, &path).stdout(Stdio::null());
    disk.under(&mut other, Faults { may_break: true, ..Faults::default() });
    let ended = other.output().unwrap();
    assert_eq!(ended.status.code(), None, "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(disk.calls().iter().filter(|call| call.is_sync() && call.has_failed).count() >= 4);
    let journal = SqliteJournal::open(&path).unwrap();
    assert_eq!(journal.load(&"first".into()).wait().unwrap(), events("first", 1));
    assert_eq!(journal.load(&"last".into()).wait().unwrap(), events("last", 2));
    assert!(journal.check().wait().unwrap().is_empty());
}
