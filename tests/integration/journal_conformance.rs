//! Every journal keeps to the same rules.

use std::sync::atomic::{AtomicUsize, Ordering};

use step_machine::journal::Synchronous;
use step_machine::testing::journal_conformance;
use step_machine::{MemoryJournal, SqliteJournal};

#[test]
fn the_journal_in_memory_keeps_to_the_rules() {
    journal_conformance(MemoryJournal::new).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_journal_in_a_file_keeps_to_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let make = || {
        let name = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
        // How long the disk takes is not asked for here.
        SqliteJournal::options().synchronous(Synchronous::Normal).open(folder.path().join(name)).unwrap()
    };
    journal_conformance(make).unwrap_or_else(|error| panic!("{error}"));
}

#[cfg(unix)]
#[test]
fn the_journal_in_postgres_keeps_to_the_rules() {
    journal_conformance(|| crate::postgres::Place::new().open()).unwrap_or_else(|error| panic!("{error}"));
}

#[cfg(unix)]
#[test]
fn the_journal_in_postgres_keeps_to_the_rules_also_where_several_connections_write() {
    let make = || {
        let place = crate::postgres::Place::new();
        let options = step_machine::PostgresJournal::options().schema(&place.schema).writers(4);
        options.open(&place.url).wait().unwrap()
    };
    journal_conformance(make).unwrap_or_else(|error| panic!("{error}"));
}
