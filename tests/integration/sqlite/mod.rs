//! What only the journal in a file has: a file.

mod crashed;
mod damage;
#[cfg(target_os = "linux")]
mod full_disk;
mod log;
mod opening;
mod owners;
mod patience;
mod places;
mod processes;
mod pruned;
pub(crate) mod queries;
mod rows;
#[cfg(target_os = "linux")]
mod syncs;
mod unreleased;

use std::path::Path;

use step_machine::SqliteJournal;
use step_machine::event::Event;
use step_machine::journal::{Append, Claim, Journal, Lease, Synchronous};

/// Without waiting for the disk, which is not what is asked for.
fn open(path: &Path) -> SqliteJournal {
    SqliteJournal::options().synchronous(Synchronous::Normal).open(path).unwrap()
}

fn claim(journal: &SqliteJournal, run: &str) -> Lease {
    journal.claim(&Claim::of(run)).wait().unwrap().lease
}

/// An event of a run with this number, that many seconds after its start.
pub(crate) fn event(run: &str, seq: u64, fields: &str) -> Event {
    let (hours, minutes, seconds) = (seq / 3600, seq / 60 % 60, seq % 60);
    let at = format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.000000Z");
    let elapsed = (seq - 1) * 1000;
    let json = format!(
        r#"{{"v":1,"run":"{run}","workflow":"provision","seq":{seq},"at":"{at}","elapsed_ms":{elapsed}.0,{fields}}}"#
    );
    Event::from_json(&json).unwrap()
}

/// The first events of a run: its start, the start of its step, then news of that.
pub(crate) fn events(run: &str, count: u64) -> Vec<Event> {
    let fields = |seq| match seq {
        1 => r#""type":"run_start","plan":{"workflow":"provision","steps":[{"id":"apply","name":"Apply"}]}"#,
        2 => r#""type":"step_start","step":"apply","attempt":1"#,
        _ => r#""type":"step_update","step":"apply","message":"some news""#,
    };
    (1..=count).map(|seq| event(run, seq, fields(seq))).collect()
}

fn append(journal: &SqliteJournal, lease: &Lease, events: &[Event]) {
    journal.append(Append::new(lease, events)).wait().unwrap();
}

/// A connection as any other program has it.
fn sql(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// The first and the last event of each row of a run.
fn rows_of(path: &Path, run: &str) -> Vec<(u64, u64)> {
    let connection = sql(path);
    let select = "SELECT first_seq, record.last_seq FROM record JOIN run ON run.key = run WHERE run.id = ?1 ORDER BY 1";
    let mut select = connection.prepare(select).unwrap();
    select.query_map([run], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}
