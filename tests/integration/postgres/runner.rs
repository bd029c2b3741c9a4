//! Runs of the runner whose server is killed while they are in a step, and comes back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use step_machine::event::{Event, RunStatus, StepStatus};
use step_machine::{Cause, Failure, Journal, JournalError, PostgresJournal, RunState, StepState};

use super::server::Server;
use super::{Place, Role, try_sql};
use crate::gated::{Gate, Release, STEPS};
use crate::support::{Recorded, Trouble, lines};

fn open(place: &Place, patience: Duration) -> PostgresJournal {
    PostgresJournal::options().schema(&place.schema).patience(patience).open(&place.url).wait().unwrap()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn loaded(journal: &PostgresJournal, run: &str) -> (Vec<Event>, RunState) {
    let events = journal.load(&run.into()).wait().unwrap();
    let state = RunState::fold(&events).unwrap().unwrap();
    (events, state)
}

/// The story of a run whose server stays, with one step that stands still a while.
async fn undisturbed(step: &'static str) -> Vec<String> {
    let (gate, seen) = (Gate::in_step(step), Recorded::new());
    gate.open();
    Release::run(&gate).observe(seen.clone()).await.unwrap();
    sorted(seen.lines())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_stands_still_while_its_server_is_away_and_goes_on() {
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, Duration::from_secs(60));
    for step in STEPS {
        let (gate, seen) = (Gate::in_step(step), Recorded::new());
        let run = Release::run(&gate).start(step).journal(journal.clone()).observe(seen.clone());
        let mut run = std::pin::pin!(run.into_future());
        tokio::select! {
            ended = &mut run => panic!("{step}: {ended:?}"),
            () = gate.reached_alone(&seen) => {}
        }
        server.kill();
        let at_the_gate = seen.len();
        gate.open();
        // Nothing is told that is not kept, and nothing begins.
        let ended = tokio::time::timeout(Duration::from_millis(400), &mut run).await;
        assert!(ended.is_err(), "{step}: it did not wait");
        assert!(!gate.calls().contains(&"join".to_owned()) || step == "join", "{step}: {:?}", gate.calls());
        let meanwhile = seen.lines_after(at_the_gate);
        assert!(meanwhile.iter().all(|line| !line.starts_with("step_end")), "{step}: {meanwhile:?}");
        server.restart();
        let report = run.await.unwrap();

        let (events, state) = loaded(&journal, step);
        assert_eq!(state.status(), RunStatus::Completed);
        assert_eq!(&state, report.state());
        assert_eq!(lines(&events), seen.lines(), "{step}: observers saw what is kept");
        assert_eq!(sorted(lines(&events)), undisturbed(step).await);
        assert_eq!(sorted(gate.calls()), ["fetch", "join", "left", "left", "right"]);
    }
    assert_eq!(place.rows("SELECT count(*) FROM run WHERE owner IS NOT NULL"), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_does_not_wait_fails_with_what_to_do_and_is_resumed_when_the_server_is_back() {
    let mut server = Server::start();
    let place = Place::at(server.url());
    let journal = open(&place, Duration::ZERO);
    for step in STEPS {
        let gate = Gate::in_step(step);
        let run = Release::run(&gate).start(step).journal(journal.clone());
        let killed = async {
            gate.reached().await;
            server.kill();
            gate.open();
            Instant::now()
        };
        let (ended, since) = tokio::join!(run.into_future(), killed);
        assert!(since.elapsed() < Duration::from_secs(5), "{step}: it waited");
        let failure = ended.unwrap_err();
        let error = journal_error(&failure);
        let JournalError::Write { run, source } = error else { panic!("{step}: {error:?}") };
        assert_eq!(run.to_string(), step);
        let advice = "its journal could not be written; once it can be, resume the run, or begin it again where it is not in the journal";
        assert_eq!(error.to_string(), format!("run {step}: {advice}"));
        assert!(source.to_string().contains("; see whether the server runs"), "{source}");
        assert_eq!(gate.calls().iter().filter(|call| *call == "join").count(), usize::from(step == "join"));
        drop(failure);
        let refused = Release::run(&Gate::default()).resume(step).journal(journal.clone()).await.unwrap_err();
        assert!(matches!(refused.cause(), Cause::Journal(JournalError::Write { .. })), "{step}: {refused:?}");

        server.restart();
        let (_, before) = loaded(&journal, step);
        assert_eq!(before.status(), RunStatus::Running, "{step}");
        let later = Gate::default();
        let report = Release::run(&later).resume(step).journal(journal.clone()).await.unwrap();
        assert_eq!(report.state().status(), RunStatus::Completed);
        assert_eq!(report.state(), &loaded(&journal, step).1);
        // What was completed is not called again; the step that the server was killed in is, and is told so.
        let is_open = |(state, _): &(&StepState, &str)| state.status() != StepStatus::Completed;
        let open: BTreeSet<&str> = before.steps().iter().zip(STEPS).filter(is_open).map(|(_, id)| id).collect();
        let calls = later.calls();
        let called: BTreeSet<&str> = calls.iter().map(|call| call.trim_end_matches(" again")).collect();
        assert_eq!(called, open, "{step}");
        assert!(calls.contains(&format!("{step} again")), "{step}: {calls:?}");
        assert_eq!(called.contains("fetch"), step == "fetch", "{step}");
    }
}

/// Why the journal does not have what happened: what stopped the run, or stood beside the error of a step.
fn journal_error(failure: &Failure<Release, Trouble>) -> &JournalError {
    match failure.cause() {
        Cause::Journal(error) => error,
        _ => failure.journal_error().unwrap_or_else(|| panic!("{failure:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_so_long_fails_after_that() {
    let mut server = Server::start();
    let place = Place::at(server.url());
    let patience = Duration::from_secs(1);
    let journal = open(&place, patience);
    let gate = Gate::in_step("right");
    let run = Release::run(&gate).start("r").journal(journal.clone());
    let killed = async {
        gate.reached().await;
        server.kill();
        gate.open();
        Instant::now()
    };
    let (ended, since) = tokio::join!(run.into_future(), killed);
    let waited = since.elapsed();
    assert!(waited >= patience && waited < Duration::from_secs(20), "{waited:?}");
    let failure = ended.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Journal(JournalError::Write { .. })), "{failure:?}");
}

#[tokio::test]
async fn a_run_whose_owner_lives_and_lost_its_session_is_claimed_by_others_and_lost_to_it() {
    let place = Place::new();
    let other = place.open();
    // One who cannot begin a session anew once its own is ended; what it writes by is left to it.
    let role = Role::new(&place, "lost", "LOGIN SUPERUSER");
    let journal = open(&Place { url: role.url.clone(), ..place.clone() }, Duration::from_secs(30));
    let gate = Gate::in_step("fetch");
    let run = Release::run(&gate).start("r").journal(journal.clone());
    let mut run = std::pin::pin!(run.into_future());
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        () = gate.reached() => {}
    }
    let resume = || Release::run(&gate).resume("r").journal(other.clone());
    let refused = resume().await.unwrap_err();
    assert!(matches!(refused.cause(), Cause::Journal(JournalError::Owned { .. })), "{refused:?}");
    try_sql(&place.url, &format!("ALTER ROLE \"{}\" NOLOGIN", role.name)).unwrap();
    let end = "SELECT pg_terminate_backend(pg_locks.pid, 5000) FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory'
        JOIN pg_stat_activity ON pg_stat_activity.pid = pg_locks.pid WHERE usename = ";
    assert_eq!(place.rows(&format!("{end}'{}'", role.name)), ["t"]);

    // By no force.
    let fresh = Gate::default();
    let report = Release::run(&fresh).resume("r").journal(other.clone()).await.unwrap();
    assert_eq!(report.state().status(), RunStatus::Completed);
    gate.open();
    let failure = run.await.unwrap_err();
    let Cause::Journal(error) = failure.cause() else { panic!("{failure:?}") };
    assert!(matches!(error, JournalError::TakenOver { owner: None, .. }), "{error:?}");
    assert_eq!(gate.calls(), ["fetch"]);
    assert_eq!(&loaded(&other, "r").1, report.state());
}
