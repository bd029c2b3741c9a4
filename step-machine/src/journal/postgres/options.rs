//! How a journal is opened.

use std::time::Duration;

use deadpool_postgres::tokio_postgres::Socket;
use deadpool_postgres::tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use deadpool_postgres::{ConfigConnectImpl, Connect};

use super::PostgresJournal;
use crate::journal::Reply;

/// How a [`PostgresJournal`] is opened.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use step_machine::PostgresJournal;
///
/// let options = PostgresJournal::options().schema("workflows").patience(Duration::from_secs(60));
/// let journal = options.open("postgres://deploy@db.internal/deployments").wait()?;
/// # Ok::<(), step_machine::JournalError>(())
/// ```
#[must_use = "options open nothing yet; call `open`"]
pub struct PostgresOptions {
    pub(super) schema: Option<String>,
    pub(super) patience: Duration,
    pub(super) writers: usize,
    pub(super) existing: bool,
    pub(super) connector: Option<Box<dyn Connect>>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { schema: None, patience: Duration::from_secs(30), writers: 1, existing: false, connector: None }
    }
}

impl PostgresOptions {
    /// The schema that the tables and views are in; it is made where it is not there yet. By default they are in the
    /// first one of the user's `search_path`, which usually is `public`.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// How long a server that went away is waited for: 30 s by default. Runs stand still meanwhile and go on when it is
    /// back; after that they stop with [`JournalError::Write`](crate::JournalError::Write), and can be resumed later. With
    /// [`Duration::ZERO`] they stop at once. A server that says nothing has gone away after 10 s, or as much as the
    /// patience up to 60 s. Opening the journal never waits.
    pub fn patience(mut self, span: Duration) -> Self {
        self.patience = span;
        self
    }

    /// How many connections write at once: 1 by default, and at least. A run always writes by the same one. What waits
    /// is committed together, so more of them are worth it only where a thousand runs or more go on at once.
    pub fn writers(mut self, connections: usize) -> Self {
        self.writers = connections.clamp(1, 64);
        self
    }

    /// Opens only a journal that is there, in the version of this crate: opening makes and changes no table. For a tool that
    /// only looks, and may be pointed at a wrong database.
    pub fn existing(mut self) -> Self {
        self.existing = true;
        self
    }

    /// Connects by TLS as `connector` does, as far as the `sslmode` of the URL asks for it. Such connectors are in the
    /// crates `tokio-postgres-rustls`, `postgres-native-tls` and `postgres-openssl`, each with what it trusts and
    /// which certificate it shows. The feature `postgres-tls` brings one, which is used where none is given and the
    /// URL says `sslmode=require`.
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
        T::Stream: Sync + Send,
        T::TlsConnect: Sync + Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.connector = Some(Box::new(ConfigConnectImpl { tls: connector }));
        self
    }

    /// Opens the journal in the database that `url` names: `postgres://user:password@host:port/database`, or words as
    /// in `host=/run/postgresql user=deploy dbname=deployments`. Await the reply, or wait for it.
    pub fn open(self, url: &str) -> Reply<PostgresJournal> {
        PostgresJournal::open_with(url, self)
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("patience", &self.patience)
            .field("writers", &self.writers)
            .field("existing", &self.existing)
            .finish_non_exhaustive()
    }
}
