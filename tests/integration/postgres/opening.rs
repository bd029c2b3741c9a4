//! Opening, and what it says where that fails.

use std::time::{Duration, Instant};

use step_machine::journal::{Claim, RunQuery};
use step_machine::{Journal, JournalError, PostgresJournal};

use super::{Place, Role, append, claim, try_sql};
use crate::sqlite::{event, events};

/// Where the journal is, what to do, and what the server said.
fn unusable(result: Result<PostgresJournal, JournalError>) -> (String, String, String) {
    let Err(JournalError::Store { journal, advice, source, .. }) = result else { panic!("{result:?}") };
    (journal, advice, source.to_string())
}

#[test]
fn an_empty_database_is_opened_by_many_at_once() {
    let place = Place::new();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| place.open())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    append(&opened[0], &claim(&opened[0], "r"), &events("r", 3));
    for journal in &opened {
        assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", 3));
    }
    assert_eq!(place.rows("SELECT count(*), max(version) FROM journal_version"), ["1 | 1"]);
}

#[test]
fn tables_of_a_newer_version_are_refused() {
    let place = Place::new();
    drop(place.open());
    place.rows("UPDATE journal_version SET version = 99");
    let refused = PostgresJournal::options().schema(&place.schema).open(&place.url).wait();
    let (journal, advice, source) = unusable(refused);
    assert!(journal.ends_with(&place.schema) && !journal.contains("step@"), "{journal}");
    assert_eq!(advice, "a newer step-machine wrote it; use that one, or update this one");
    assert_eq!(source, "it has version 99, this version of step-machine knows those up to 1");
}

#[test]
fn tables_of_somebody_else_are_left_as_they_are() {
    let place = Place::new();
    try_sql(&place.url, &format!("CREATE SCHEMA \"{0}\"; CREATE TABLE \"{0}\".run (miles integer)", place.schema))
        .unwrap();
    let refused = PostgresJournal::options().schema(&place.schema).open(&place.url).wait();
    let (_, advice, _) = unusable(refused);
    assert_eq!(advice, "something else has tables of these names there; choose a schema of its own with `schema`");
    assert_eq!(place.rows("SELECT count(*) FROM run"), ["0"]);
    let there = format!("SELECT relname FROM pg_class WHERE relnamespace = '\"{}\"'::regnamespace", place.schema);
    assert_eq!(place.rows(&there), ["run"]);
}

#[test]
fn a_password_that_is_cut_in_two_is_not_shown() {
    for url in ["postgres://anna:ge@heim@127.0.0.1:1/runs", "postgres://127.0.0.1:1?password=ge@heim"] {
        let (journal, advice, source) = unusable(PostgresJournal::open(url).wait());
        assert_eq!(journal, "in PostgreSQL", "{source}");
        assert_eq!(advice, "write an `@` in a name or password as `%40`");
        assert_eq!(source, "the URL has an `@` too many");
    }
}

#[test]
fn an_error_says_what_to_do() {
    let url = Place::new().url;
    let refused = |url: &str| {
        let began = Instant::now();
        let (journal, advice, source) = unusable(PostgresJournal::open(url).wait());
        assert!(began.elapsed() < Duration::from_secs(5), "opening does not wait");
        assert!(!journal.contains("secret") && !source.contains("secret"), "{journal}: {source}");
        advice
    };
    let nowhere = "postgres://step:secret@127.0.0.1:1/postgres";
    assert_eq!(refused(nowhere), "see whether the server runs, and whether host and port are right");
    assert_eq!(refused(&url.replace("/postgres", "/nothing")), "create the database, or name another one");
    assert_eq!(
        refused(&url.replace("step@", "nobody:secret@")),
        "see that user and database are let in by the server's pg_hba.conf, and whether it asks for TLS"
    );
    assert_eq!(refused("postgres://step@[oops/postgres"), "name it as in postgres://user@host/database");
    let requires = format!("{url}?sslmode=require");
    let advice = refused(&requires);
    assert!(advice.contains("TLS") || advice.contains("postgres-tls") || advice.contains("certificates"), "{advice}");
}

#[test]
fn who_may_make_no_tables_is_told_so_and_may_use_those_that_are_there() {
    let place = Place::new();
    let role = Role::new(&place, "poor", "LOGIN");
    let poor = &role.name;
    let open = || PostgresJournal::options().schema(&place.schema).open(&role.url).wait();
    let (_, advice, _) = unusable(open());
    assert!(advice.starts_with("the user may not do this: let one who may create tables open it once"), "{advice}");

    drop(place.open());
    let schema = &place.schema;
    place.rows(&format!(
        "GRANT USAGE ON SCHEMA \"{schema}\" TO \"{poor}\";
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{poor}\""
    ));
    let journal = open().unwrap();
    append(&journal, &claim(&journal, "r"), &events("r", 3));
    assert_eq!(journal.list(&RunQuery::of("r")).wait().unwrap().len(), 1);
}

#[test]
fn the_last_clone_writes_what_was_asked_for_and_leaves_no_owner() {
    let place = Place::new();
    let journal = place.open();
    let lease = claim(&journal, "r");
    let all = events("r", 200);
    for event in all.chunks(1) {
        drop(journal.append(step_machine::journal::Append::new(&lease, event)));
    }
    drop(journal.release(&lease));
    drop(journal);
    assert_eq!(place.rows("SELECT count(*) FROM owner"), ["0"]);
    assert_eq!(place.open().load(&"r".into()).wait().unwrap(), all);
}

#[test]
fn what_a_jsonb_cannot_have_does_no_harm() {
    let place = Place::new();
    let journal = place.open();
    let lease = claim(&journal, "r");
    let mut all = events("r", 2);
    all.push(event("r", 3, r#""type":"stdout","step":"apply","line":"a\u0000b \\u0000 \\\u0000""#));
    let update = r#""type":"step_update","step":"apply","metadata":{"a\u0000":["\u0000"]}"#;
    all.push(event("r", 4, update));
    append(&journal, &lease, &all);
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), all);
    assert_eq!(place.rows("SELECT count(*) FROM events WHERE run = 'r'"), ["4"]);
    let line = place.rows("SELECT body ->> 'line' FROM events WHERE seq = 3");
    assert_eq!(line, ["a\u{fffd}b \\u0000 \\\u{fffd}"], "only the character, and no text that looks like it");
    assert_eq!(place.rows("SELECT metadata FROM runs"), ["{\"a\u{fffd}\": [\"\u{fffd}\"]}"]);
    let refused = journal.claim(&Claim::of("a\0b")).wait().unwrap_err();
    assert!(matches!(refused, JournalError::Write { .. }), "{refused:?}");
    assert!(journal.load(&"a\0b".into()).wait().unwrap().is_empty());
}
