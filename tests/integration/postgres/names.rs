//! Names that runs of one journal hand on to each other.

use std::hash::{DefaultHasher, Hash, Hasher};

use deadpool_postgres::tokio_postgres::{NoTls, connect};
use step_machine::journal::{Append, Claim, Lease};
use step_machine::{Journal, JournalError, PostgresJournal, RunId};

use super::{Place, append};
use crate::flows::user::eventually;
use crate::sqlite::{event, events};

pub(super) fn claim_with_name(journal: &PostgresJournal, run: &str, name: &str) -> Result<Lease, JournalError> {
    let mut claim = Claim::of(run);
    claim.exclusive = vec![name.to_owned()];
    journal.claim(&claim).wait().map(|claimed| claimed.lease)
}

/// A run that another one of two writers writes than this run's.
fn of_the_other_writer(run: &str) -> String {
    let writer = |run: &str| {
        let mut hasher = DefaultHasher::new();
        RunId::from(run).hash(&mut hasher);
        hasher.finish() % 2
    };
    (0..100).map(|at| format!("run-{at}")).find(|other| writer(other) != writer(run)).unwrap()
}

#[tokio::test]
async fn a_run_has_its_names_until_its_end_is_written() {
    let place = Place::new();
    let journal = PostgresJournal::options().schema(&place.schema).writers(2).open(&place.url).await.unwrap();
    let next = of_the_other_writer("r");
    let lease = claim_with_name(&journal, "r", "web").unwrap();
    append(&journal, &lease, &events("r", 2));
    let (client, connection) = connect(&place.url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; LOCK TABLE \"{}\".record IN SHARE MODE", place.schema)).await.unwrap();

    let end = [event("r", 3, r#""type":"run_end","status":"completed","duration_ms":1.0,"warnings":0"#)];
    let mut last = Append::new(&lease, &end);
    last.release = true;
    let ended = journal.append(last);
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'record'::regclass AND NOT granted";
    eventually("its end is on its way", || place.rows(waits) == ["1"]);
    let refused = claim_with_name(&journal, &next, "web").unwrap_err();
    let JournalError::Exclusive { holder, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*holder, RunId::from("r"));

    client.batch_execute("ROLLBACK").await.unwrap();
    ended.await.unwrap();
    claim_with_name(&journal, &next, "web").unwrap();
    assert_eq!(place.rows("SELECT status FROM run WHERE id = 'r'"), ["completed"]);
    drop(client);
    connection.await.unwrap().unwrap();
}
