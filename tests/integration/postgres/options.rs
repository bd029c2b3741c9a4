//! What a journal in PostgreSQL may be opened with, and what it asks of the sessions that it begins.

use std::sync::mpsc::channel;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use deadpool_postgres::tokio_postgres::{NoTls, connect};
use step_machine::journal::{Append, Claim, Reply};
use step_machine::{Journal, JournalError, PostgresJournal};

use super::{Place, append, claim};
use crate::sqlite::events;

const RUNS: usize = 16;

/// The numbers of the runs that are written to while the row of the first one is locked by somebody else.
fn written_beside_a_locked_one(writers: usize) -> Vec<usize> {
    let place = Place::new();
    let journal = PostgresJournal::options().schema(&place.schema).writers(writers).open(&place.url).wait().unwrap();
    let names: Vec<String> = (0..RUNS).map(|at| format!("run-{at}")).collect();
    let leases: Vec<_> = names.iter().map(|name| claim(&journal, name)).collect();
    let (locked, is_locked) = channel();
    let (done, is_done) = channel::<()>();
    scope(|scope| {
        scope.spawn(|| lock_first(&place, || locked.send(()).unwrap(), move || is_done.recv().unwrap()));
        is_locked.recv().unwrap();
        let put = |at: usize| journal.append(Append::new(&leases[at], &events(&names[at], 2)));
        let load = |at: &usize| journal.load(&names[*at].as_str().into()).wait().unwrap();
        let replies: Vec<Reply<()>> = (0..RUNS).map(put).collect();
        let begun = Instant::now();
        let longest = Duration::from_secs(if writers > 1 { 20 } else { 1 });
        let written = loop {
            sleep(Duration::from_millis(100));
            let written: Vec<usize> = (0..RUNS).filter(|at| !load(at).is_empty()).collect();
            if !written.is_empty() || begun.elapsed() > longest {
                break written;
            }
        };
        done.send(()).unwrap();
        for (at, reply) in replies.into_iter().enumerate() {
            reply.wait().unwrap();
            assert_eq!(load(&at), events(&names[at], 2));
        }
        written
    })
}

/// Holds the row of the first run from `locked` until `done`.
fn lock_first(place: &Place, locked: impl FnOnce(), done: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = connect(&place.url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let lock = format!("BEGIN; SELECT 1 FROM \"{}\".run WHERE id = 'run-0' FOR UPDATE", place.schema);
        client.batch_execute(&lock).await.unwrap();
        locked();
        done();
        client.batch_execute("ROLLBACK").await.unwrap();
        drop(client);
        let _ = connection.await;
    });
}

#[test]
fn runs_of_another_writer_do_not_wait() {
    assert_eq!(written_beside_a_locked_one(1), [0; 0], "one writer has one statement at a time");
    let written = written_beside_a_locked_one(4);
    assert!(!written.is_empty() && !written.contains(&0), "{written:?}");
}

#[test]
fn a_session_that_is_quiet_keeps_its_runs_whatever_the_server_ends_others_for() {
    let place = Place::new();
    drop(place.open());
    let hasty = Place { url: format!("{}?options=-c%20idle_session_timeout%3D1000", place.url), ..place.clone() };
    assert_eq!(hasty.rows("SHOW idle_session_timeout"), ["1s"]);
    let holder = "SELECT pg_locks.pid FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory' AND mode = 'ExclusiveLock'";
    let journal = hasty.open();
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    let before = place.rows(holder);
    assert_eq!(before.len(), 1);
    sleep(Duration::from_millis(2500));
    assert_eq!(place.rows(holder), before, "it is the same session still");
    let refused = place.open().claim(&Claim::of("r")).wait();
    assert!(matches!(refused, Err(JournalError::Owned { .. })), "{refused:?}");
    append(&journal, &lease, &events("r", 3)[2..]);
}
