//! Runs that name an owner who lives and does not drive them.

use std::time::Duration;

use step_machine::journal::{Append, Claim};
use step_machine::{Journal, JournalError, PostgresJournal};

use super::names::claim_with_name;
use super::proxy::Proxy;
use super::{Place, Role, append, claim, try_sql};
use crate::flows::user::eventually;
use crate::sqlite::events;

/// Whether a session holds the lock of the owner that a run names.
const LIVES: &str = "SELECT count(*) FROM pg_locks JOIN owner
    ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory' AND mode = 'ExclusiveLock'
    JOIN run ON run.owner = owner.key WHERE granted AND run.id = ";

fn lives(place: &Place, run: &str) -> bool {
    place.rows(&format!("{LIVES}'{run}'")) == ["1"]
}

#[test]
fn others_get_a_run_whose_claim_came_through_without_an_answer() {
    let place = Place::new();
    let proxy = Proxy::to(&place.url);
    let options = PostgresJournal::options().schema(&place.schema).patience(Duration::ZERO);
    let journal = options.open(proxy.url()).wait().unwrap();
    // It has a session, and drives what it drives.
    let driven = claim(&journal, "driven");
    append(&journal, &driven, &events("driven", 2));
    let lease = claim(&journal, "old");
    append(&journal, &lease, &events("old", 2));
    journal.release(&lease).wait().unwrap();
    let other = place.open();

    // The name of a new run is in what claims it.
    for (run, asked) in [("old", "COMMIT"), ("a new one", "a new one")] {
        proxy.lose_answer_to(asked);
        let error = journal.claim(&Claim::of(run)).wait().unwrap_err();
        assert!(matches!(error, JournalError::Write { .. }), "{error:?}");
        eventually("somebody else gets the run", || match other.claim(&Claim::of(run)).wait() {
            Ok(_) => true,
            Err(JournalError::Owned { .. }) => false,
            Err(error) => panic!("{error:?}"),
        });
    }
    append(&journal, &driven, &events("driven", 3)[2..]);
    let error = other.claim(&Claim::of("driven")).wait().unwrap_err();
    assert!(matches!(error, JournalError::Owned { .. }), "{error:?}");
}

/// The name of a run that is driven goes to another journal's while its session is lost; then the session is back.
fn lose_the_name(writes: bool) {
    let place = Place::new();
    let other = place.open();
    let role = Role::new(&place, "back", "LOGIN SUPERUSER");
    let journal = Place { url: role.url.clone(), ..place.clone() }.open();
    let driven = claim(&journal, "driven");
    append(&journal, &driven, &events("driven", 2));
    let lease = claim_with_name(&journal, "r", "web").unwrap();
    append(&journal, &lease, &events("r", 2));
    let alter = |can: &str| try_sql(&place.url, &format!("ALTER ROLE \"{}\" {can}", role.name)).unwrap();
    alter("NOLOGIN");
    let end = "SELECT pg_terminate_backend(pg_locks.pid, 5000) FROM pg_locks JOIN owner
        ON ((classid::bigint << 32) | objid::bigint) = owner.key AND locktype = 'advisory'
        JOIN run ON run.owner = owner.key WHERE run.id = 'r'";
    assert_eq!(place.rows(end), ["t"]);
    let taken = claim_with_name(&other, "next", "web").unwrap();
    append(&other, &taken, &events("next", 2));
    alter("LOGIN");
    eventually("its session is back", || lives(&place, "driven"));
    assert!(lives(&place, "r"), "it is named still: it does not know yet");

    if writes {
        let error = journal.append(Append::new(&lease, &events("r", 3)[2..])).wait().unwrap_err();
        assert!(matches!(error, JournalError::TakenOver { owner: None, .. }), "{error:?}");
    } else {
        journal.release(&lease).wait().unwrap();
    }
    other.claim(&Claim::of("r")).wait().unwrap();
    append(&journal, &driven, &events("driven", 3)[2..]);
    append(&other, &taken, &events("next", 3)[2..]);
}

#[test]
fn others_get_a_run_whose_name_was_taken_once_its_next_write_is_refused() {
    lose_the_name(true);
}

#[test]
fn others_get_a_run_whose_name_was_taken_once_it_is_given_back() {
    lose_the_name(false);
}
