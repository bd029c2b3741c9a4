//! The server, and connections to it.

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::tokio_postgres::config::{Config, Host, SslMode};
use deadpool_postgres::tokio_postgres::{Client, Error, NoTls};
use deadpool_postgres::{ConfigConnectImpl, Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;

use super::PostgresOptions;
use super::error::unusable;
use crate::journal::JournalError;

/// A connection that nothing passes over any more is noticed after about so long, by both sides.
const QUIET: Duration = Duration::from_secs(30);

/// A host that does not answer is given up after so long.
const CONNECTING: Duration = Duration::from_secs(10);

/// What every session is told first. Plans are made while tables are small and are used for long, so none may read a
/// table as a whole where an index has what is asked for. A session that is quiet for long keeps what it owns, whatever
/// the server ends others for; what not every version has is set where it is there.
const SET_UP: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET client_min_messages = warning;
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET idle_in_transaction_session_timeout = '10s';
    SET enable_seqscan = off;
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000;
    SELECT set_config(name, '0', false) FROM pg_settings
    WHERE name IN ('idle_session_timeout', 'transaction_timeout');";

/// Where connections go, and how they are set up.
#[derive(Clone)]
pub(super) struct Target {
    /// For people: no password.
    pub(super) name: String,
    config: Config,
    connector: Arc<dyn Connect>,
    schema: Option<String>,
    /// Nothing is made that is not there.
    pub(super) existing: bool,
    set_up: Arc<str>,
}

impl Target {
    pub(super) fn new(url: &str, options: PostgresOptions) -> Result<Self, JournalError> {
        let fail = |advice: &str, source| Err(unusable("in PostgreSQL", advice, source));
        let mut config = match Config::from_str(url) {
            Ok(config) => config,
            // The text of the error may have the password in it; its source only says what is wrong.
            Err(error) => return fail("name it as in postgres://user@host/database", Box::new(error)),
        };
        config.get_connect_timeout().is_none().then(|| config.connect_timeout(CONNECTING));
        config.get_tcp_user_timeout().is_none().then(|| config.tcp_user_timeout(QUIET));
        if config.get_keepalives_interval().is_none() {
            config.keepalives_idle(QUIET).keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        }
        if config.get_application_name().is_none() {
            config.application_name("step-machine");
        }
        if is_cut_at_the_wrong_place(&config) {
            // A part of the password stands in what would be shown.
            return fail("write an `@` in a name or password as `%40`", "the URL has an `@` too many".into());
        }
        let name = name(&config, options.schema.as_deref());
        let connector = match options.connector {
            Some(connector) => Arc::from(connector),
            None => default_connector(&config, &name)?,
        };
        let mut set_up = SET_UP.to_owned();
        if let Some(schema) = &options.schema {
            // Writing to a text cannot fail.
            let _ = write!(set_up, "SET search_path = {};", quoted(schema));
        }
        let PostgresOptions { schema, existing, .. } = options;
        Ok(Self { name, config, connector, schema, existing, set_up: set_up.into() })
    }

    /// The schema that was asked for, as SQL has it.
    pub(super) fn schema(&self) -> Option<String> {
        self.schema.as_deref().map(quoted)
    }

    /// Up to so many connections, made when they are needed, and made anew when they were lost.
    pub(super) fn pool(&self, size: usize) -> Result<Pool, JournalError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config.clone(), self.clone(), config);
        Pool::builder(manager)
            .max_size(size)
            .queue_mode(deadpool_postgres::QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| unusable(&self.name, "a fault of this crate", Box::new(error)))
    }

    /// How long the hosts may take to be tried, one after another.
    pub(super) fn connecting(&self) -> Duration {
        let hosts = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECTING);
        each.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
    }

    /// A connection, and the task that ends with it.
    pub(super) async fn connect(&self) -> Result<(Client, JoinHandle<()>), Error> {
        Connect::connect(self, &self.config).await
    }
}

impl Connect for Target {
    fn connect(
        &self,
        config: &Config,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, task) = self.connector.connect(&config).await?;
            if let Err(error) = client.batch_execute(&self.set_up).await {
                task.abort();
                return Err(error);
            }
            Ok((client, task))
        })
    }
}

/// Whether the user or the host has what comes from an `@` within the password, as the client cuts at the first one.
fn is_cut_at_the_wrong_place(config: &Config) -> bool {
    let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    let has_parameters = |password: &[u8]| password.windows(9).any(|part| part == b"password=");
    config.get_user().is_some_and(|user| user.contains(['/', '?', '=']))
        || config.get_password().is_some_and(has_parameters)
        || config.get_hosts().iter().any(is_odd)
}

/// An identifier of any characters.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn name(config: &Config, schema: Option<&str>) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    let schema = schema.map(|schema| format!(", schema {schema}")).unwrap_or_default();
    format!("in PostgreSQL at {}:{port}/{database}{schema}", hosts.join(","))
}

fn default_connector(config: &Config, journal: &str) -> Result<Arc<dyn Connect>, JournalError> {
    if config.get_ssl_mode() != SslMode::Require {
        return Ok(Arc::new(ConfigConnectImpl { tls: NoTls }));
    }
    #[cfg(feature = "postgres-tls")]
    return super::tls::connector(journal);
    #[cfg(not(feature = "postgres-tls"))]
    Err(unusable(
        journal,
        "turn on the feature `postgres-tls` of step-machine, or hand in a connector with `tls`",
        "the URL says sslmode=require".into(),
    ))
}
