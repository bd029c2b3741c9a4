//! A server that goes away in the middle, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use step_machine::event::RunStatus;
use step_machine::journal::{Append, Claim, RunQuery, Waiting};
use step_machine::{Cause, Journal, JournalError, PostgresJournal, RunState, StepContext, Workflow};

use super::proxy::Proxy;
use super::server::Server;
use super::{Place, Role, append, claim, try_sql};
use crate::sqlite::events;
use crate::support::{Trouble, ok};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Deploy {
    Build,
    Copy,
    Check,
}
use deploy::*;

fn open(place: &Place, patience: Duration) -> PostgresJournal {
    PostgresJournal::options().schema(&place.schema).patience(patience).open(&place.url).wait().unwrap()
}

#[test]
fn a_run_waits_for_a_server_that_was_killed_and_goes_on() {
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, Duration::from_secs(60));
    let run = Deploy::machine().id("r").journal(journal.clone()).begin().unwrap();
    let run = run.step(Build, ok).unwrap();
    server.kill();
    scope(|scope| {
        let rest = scope.spawn(|| {
            let run = run.step(Copy, ok).unwrap();
            run.step(Check, ok).unwrap().finish().unwrap();
        });
        sleep(Duration::from_millis(500));
        assert!(!rest.is_finished());
        server.restart();
        rest.join().unwrap();
    });
    let loaded = journal.load(&"r".into()).wait().unwrap();
    let state = RunState::fold(&loaded).unwrap().unwrap();
    assert_eq!(state.status(), RunStatus::Completed);
    assert_eq!(loaded.iter().filter(|event| event.event_type().to_string() == "step_end").count(), 3);
}

#[test]
fn a_run_that_does_not_wait_stops_and_is_resumed_later() {
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, Duration::ZERO);
    let begin = || Deploy::machine().id("r").journal(journal.clone()).begin();
    let run = begin().unwrap().step(Build, ok).unwrap();
    server.kill();
    let since = Instant::now();
    let failure = run.step(Copy, ok).unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(5));
    let Cause::Journal(error) = failure.cause() else { panic!("{failure:?}") };
    assert!(matches!(error, JournalError::Write { .. }), "{error:?}");
    let source = std::error::Error::source(error).unwrap().to_string();
    assert!(source.contains("see whether the server runs"), "{source}");
    drop(failure);
    assert!(begin().is_err());

    server.restart();
    let count = Arc::new(AtomicUsize::new(0));
    let body = |_: &mut StepContext| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Trouble>(())
    };
    let run = begin().unwrap().step(Build, body).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0, "what was recorded is not done again");
    run.step(Copy, body).unwrap().step(Check, body).unwrap().finish().unwrap();
    let state = RunState::fold(&journal.load(&"r".into()).wait().unwrap()).unwrap().unwrap();
    assert_eq!(state.status(), RunStatus::Completed);
}

#[test]
fn nothing_is_doubled_or_lost_while_a_server_is_killed_again_and_again() {
    const RUNS: usize = 8;
    const EVENTS: u64 = 400;
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, Duration::from_secs(60));
    scope(|scope| {
        let writers: Vec<_> = (0..RUNS)
            .map(|at| {
                let (run, journal) = (format!("run-{at}"), &journal);
                scope.spawn(move || {
                    let lease = claim(journal, &run);
                    for chunk in events(&run, EVENTS).chunks(1) {
                        let waiting = if at % 2 == 0 { Waiting::Nobody } else { Waiting::Thread };
                        let mut append = Append::new(&lease, chunk);
                        append.waiting = waiting;
                        let reply = journal.append(append);
                        if at % 2 == 1 {
                            reply.wait().unwrap();
                        }
                        sleep(Duration::from_millis(3));
                    }
                    journal.release(&lease).wait().unwrap();
                })
            })
            .collect();
        for pause in [100, 300, 200, 400] {
            sleep(Duration::from_millis(pause));
            server.restart();
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
    for at in 0..RUNS {
        let run = format!("run-{at}");
        assert_eq!(journal.load(&run.as_str().into()).wait().unwrap(), events(&run, EVENTS));
    }
    assert_eq!(place.rows("SELECT count(*) FROM run WHERE owner IS NOT NULL"), ["0"]);
}

#[test]
fn a_session_that_was_ended_is_begun_again() {
    let place = Place::new();
    let journal = place.open();
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    let end = "SELECT pg_terminate_backend(pg_locks.pid) FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory'";
    assert_eq!(place.rows(end), ["t"]);
    let is_held = "SELECT count(*) FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory'";
    let since = Instant::now();
    while place.rows(is_held) != ["1"] {
        assert!(since.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(10));
    }
    let other = place.open();
    assert!(matches!(other.claim(&Claim::of("r")).wait(), Err(JournalError::Owned { .. })));
    append(&journal, &lease, &events("r", 3)[2..]);
    assert_eq!(other.list(&RunQuery::of("r")).wait().unwrap().len(), 1);
}

#[test]
fn runs_that_failed_together_are_given_back_without_waiting_for_the_server_again() {
    const RUNS: usize = 8;
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, PATIENCE);
    let names: Vec<String> = (0..=RUNS).map(|at| format!("run-{at}")).collect();
    let leases: Vec<_> = names.iter().map(|run| claim(&journal, run)).collect();
    for (run, lease) in names.iter().zip(&leases) {
        append(&journal, lease, &events(run, 2));
    }
    server.kill();
    let put = |at: usize| journal.append(Append::new(&leases[at], &events(&names[at], 3)[2..]));
    let replies: Vec<_> = (0..RUNS).map(put).collect();
    for reply in replies {
        assert!(matches!(reply.wait(), Err(JournalError::Write { .. })));
    }
    let since = Instant::now();
    let released: Vec<_> = leases[..RUNS].iter().map(|lease| journal.release(lease)).collect();
    // It comes after them, and has its own patience.
    let last = put(RUNS);
    for reply in released {
        assert!(matches!(reply.wait(), Err(JournalError::Write { .. })));
    }
    assert!(matches!(last.wait(), Err(JournalError::Write { .. })));
    assert!(since.elapsed() < PATIENCE * 2, "{:?}", since.elapsed());

    server.restart();
    let other = open(&place, PATIENCE);
    for run in &names[..RUNS] {
        crate::flows::user::eventually("it is given back", || other.claim(&Claim::of(run.as_str())).wait().is_ok());
    }
}

#[test]
fn a_session_whose_end_the_server_did_not_notice_is_ended_even_if_that_fails_at_first() {
    let place = Place::new();
    let proxy = Proxy::to(&place.url);
    let journal = Place { url: proxy.url().to_owned(), ..place.clone() }.open();
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    let holder = "SELECT pg_locks.pid FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory' WHERE granted";
    let before = place.rows(holder);
    proxy.lose_answer_to("pg_terminate_backend");
    proxy.cut_unseen();
    crate::flows::user::eventually("another session has the lock", || {
        let now = place.rows(holder);
        now.len() == 1 && now != before
    });
    append(&journal, &lease, &events("r", 3)[2..]);
}

#[test]
fn runs_go_on_beside_a_claim_that_waits_for_the_session() {
    let place = Place::new();
    let role = Role::new(&place, "gone", "LOGIN SUPERUSER");
    let journal = Place { url: role.url.clone(), ..place.clone() }.open();
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    let alter = |can: &str| try_sql(&place.url, &format!("ALTER ROLE \"{}\" {can}", role.name)).unwrap();
    // What it writes by is left to it.
    alter("CONNECTION LIMIT 0 NOSUPERUSER");
    let end = "SELECT pg_terminate_backend(pg_locks.pid, 5000) FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory'";
    assert_eq!(place.rows(end), ["t"]);
    let waits = journal.claim(&Claim::of("new"));
    append(&journal, &lease, &events("r", 3)[2..]);
    assert_eq!(place.rows("SELECT count(*) FROM run WHERE id = 'new'"), ["0"], "it waits still");
    alter("CONNECTION LIMIT -1");
    waits.wait().unwrap();
}
