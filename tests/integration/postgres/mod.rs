//! What only the journal in PostgreSQL has: a server.

mod damage;
mod dropped;
mod lost;
mod names;
mod opening;
mod options;
mod processes;
mod proxy;
mod pruned;
mod queries;
mod runner;
mod server;
mod silent;
mod tls;
mod undriven;

use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool_postgres::tokio_postgres::{Error, NoTls, SimpleQueryMessage, SimpleQueryRow, connect};
use step_machine::PostgresJournal;
use step_machine::journal::{Append, Claim, Journal, Lease};

use step_machine::event::Event;

/// A journal of a test, in a schema of its own.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) schema: String,
}

impl Place {
    /// On the server that tests share.
    pub(crate) fn new() -> Self {
        Self::at(server::shared().to_owned())
    }

    fn at(url: String) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("test {} {}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { url, schema }
    }

    pub(crate) fn open(&self) -> PostgresJournal {
        PostgresJournal::options().schema(&self.schema).open(&self.url).wait().unwrap()
    }

    /// The rows that a query finds, as text.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let query = format!("SET search_path = \"{}\"; {query}", self.schema);
        try_sql(&self.url, &query).unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }
}

/// A database of a test's own, on the server that tests share. It goes with it.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        try_sql(server::shared(), &format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
        let (server, _) = server::shared().rsplit_once('/').unwrap();
        Self { url: format!("{server}/{name}"), name }
    }

    /// The rows that a query finds, as text.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        try_sql(&self.url, query).unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    /// The journal in it, once no process has a session in it any more: one that was killed has ended then, and what it had
    /// asked for is written.
    pub(crate) fn journal(&self) -> PostgresJournal {
        let others = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        crate::flows::user::eventually("nobody else has a session", || self.rows(others) == ["0"]);
        PostgresJournal::open(&self.url).wait().unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What keeps it there is the test's own fault, which is told otherwise.
        let _ = try_sql(server::shared(), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// What a server says to some statements, on a connection as any other program has it.
/// A role that goes with the test.
struct Role<'a> {
    place: &'a Place,
    name: String,
    /// The address for it.
    url: String,
}

impl<'a> Role<'a> {
    fn new(place: &'a Place, name: &str, can: &str) -> Self {
        let name = format!("{name} {}", place.schema);
        try_sql(&place.url, &format!("CREATE ROLE \"{name}\" {can}")).unwrap();
        let url = place.url.replace("step@", &format!("{}@", name.replace(' ', "%20")));
        Self { place, name, url }
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let _ = try_sql(&self.place.url, &format!("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", self.name));
    }
}

fn try_sql(url: &str, statements: &str) -> Result<Vec<String>, Error> {
    let text = |row: &SimpleQueryRow| {
        let values: Vec<_> = (0..row.len()).map(|at| row.get(at).unwrap_or("-").to_owned()).collect();
        values.join(" | ")
    };
    let ask = async {
        let (client, connection) = connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let said = client.simple_query(statements).await?;
        drop(client);
        let _ = connection.await;
        let rows = said.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(text(row)),
            _ => None,
        });
        Ok(rows.collect())
    };
    // On a thread of its own: the one that asks may be a runtime's.
    let wait = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(ask);
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap())
}

fn claim(journal: &PostgresJournal, run: &str) -> Lease {
    journal.claim(&Claim::of(run)).wait().unwrap().lease
}

fn append(journal: &PostgresJournal, lease: &Lease, events: &[Event]) {
    journal.append(Append::new(lease, events)).wait().unwrap();
}
