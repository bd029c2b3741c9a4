//! Removing runs that are over.

use std::time::{Duration, SystemTime};

use deadpool_postgres::tokio_postgres::{NoTls, connect};
use step_machine::Journal;
use step_machine::journal::Append;

use super::{Place, claim};
use crate::flows::user::eventually;
use crate::sqlite::{event, events};

/// A run that is over, with so many events.
fn ended(place: &Place, run: &str, count: u64) {
    let journal = place.open();
    let lease = claim(&journal, run);
    let mut all = events(run, count - 1);
    all.push(event(run, count, r#""type":"run_end","status":"completed","duration_ms":1.0,"warnings":0"#));
    for events in all.chunks(500) {
        let mut append = Append::new(&lease, events);
        append.release = events.last().is_some_and(|event| event.seq == count);
        journal.append(append).wait().unwrap();
    }
}

#[test]
fn a_run_of_many_events_is_removed_with_all_of_them() {
    let place = Place::new();
    for (run, count) in [("short", 3), ("long", 25_003), ("longer", 30_000), ("last", 3)] {
        ended(&place, run, count);
    }
    assert_eq!(place.open().prune(SystemTime::now()).wait().unwrap(), 4);
    assert_eq!(place.rows("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM record)"), ["0 | 0"]);
}

#[tokio::test]
async fn a_run_that_another_session_has_for_a_moment_is_waited_for() {
    let place = Place::new();
    ended(&place, "r", 3);
    let (client, connection) = connect(&place.url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; SELECT FROM \"{}\".run FOR UPDATE", place.schema)).await.unwrap();
    let journal = place.open();
    let pruned = journal.prune(SystemTime::now());
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'run'::regclass AND locktype = 'tuple'";
    eventually("it waits", || place.rows(waits) == ["1"]);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), pruned).await.unwrap().unwrap(), 1);
    drop(client);
    connection.await.unwrap().unwrap();
}
