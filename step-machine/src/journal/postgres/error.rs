//! What PostgreSQL says, as errors of the journal.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::PoolError;
use deadpool_postgres::tokio_postgres::{self, error::SqlState};

use crate::journal::error::damaged;
use crate::journal::{BoxError, JournalError};
use crate::run_id::RunId;

/// Why the server did not do what it was asked for.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// It says so, or cannot be reached.
    Server(Arc<tokio_postgres::Error>),
    /// It said nothing for so long.
    Silent(Duration),
}

/// Why one thing that was asked for is not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// It alone, and nothing of it.
    Alone(JournalError),
    /// The server failed.
    Store(Trouble),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(Arc::new(error))
    }
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        Self::Alone(error)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Store(error.into()),
            // The pool is closed with the journal, and has no hooks that could fail.
            _ => Self::Alone(JournalError::Closed),
        }
    }
}

impl Fault {
    /// As an error of a run that was written to.
    pub(super) fn of_writing(self, run: &RunId) -> JournalError {
        match self {
            Self::Alone(error) => error,
            Self::Store(trouble) => JournalError::Write { run: run.clone(), source: trouble.into() },
        }
    }

    /// As an error of a run that was read.
    pub(super) fn of_reading(self, run: &RunId) -> JournalError {
        match self {
            Self::Alone(error) => error,
            Self::Store(trouble) if trouble.is_damage() => damaged(run, format!("the database says: {trouble}")),
            Self::Store(trouble) => JournalError::Read { run: run.clone(), source: trouble.into() },
        }
    }

    /// As an error of the journal as a whole.
    pub(super) fn of_all(self, journal: &str) -> JournalError {
        match self {
            Self::Alone(error) => error,
            Self::Store(trouble) => trouble.of_all(journal),
        }
    }
}

impl Trouble {
    pub(super) fn of_all(self, journal: &str) -> JournalError {
        unusable(journal, self.advice(), self.into())
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            Self::Silent(_) => None,
        }
    }

    /// Whether the server is away, or will not do anything now.
    pub(super) fn is_away(&self) -> bool {
        let Self::Server(error) = self else { return true };
        match error.code() {
            Some(code) => is_away(code),
            // The connection is gone, or could not be made. What cannot be read or sent stays so.
            None => error.is_closed() || (is_of_io(error) && !is_untrusted(error)),
        }
    }

    /// Whether two were in each other's way, so that it goes through when it is tried again.
    pub(super) fn is_collision(&self) -> bool {
        // A duplicate key is what was tried before and has come through after all; a foreign key that is not there is
        // an owner that was cleared away while its session was lost. Who tries again sees either.
        self.code().is_some_and(|code| {
            code.code().starts_with("40") || ["23503", "23505", "25P03", "55P03"].contains(&code.code())
        })
    }

    /// Whether it failed for what was in it, so that others may well go through.
    pub(super) fn is_of_one(&self) -> bool {
        !self.is_away() && !self.is_collision()
    }

    fn is_damage(&self) -> bool {
        matches!(self.code(), Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED))
    }

    /// What to do about it.
    fn advice(&self) -> &'static str {
        let Self::Server(error) = self else {
            return "the server does not answer; see whether it and the network to it are well";
        };
        match error.code() {
            Some(code) => advice(code),
            None if is_untrusted(error) => {
                "see whose certificate the server has, and that this machine trusts who signed it; the variable \
                 SSL_CERT_FILE names a file of others to trust"
            }
            None if is_of_io(error) || error.is_closed() => {
                "see whether the server runs, and whether host and port are right"
            }
            // Its kind is known only by its text.
            None if error.to_string().contains("TLS") => {
                "see whether the server offers TLS, or ask for none with sslmode=disable"
            }
            None => "see what the server says",
        }
    }
}

fn is_of_io(error: &tokio_postgres::Error) -> bool {
    matches!(error.source(), Some(source) if source.is::<std::io::Error>())
}

/// Whether TLS was refused for what the server showed. Such an error comes as one of I/O with invalid data.
fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::InvalidData) && error.to_string().contains("TLS")
}

fn is_away(code: &SqlState) -> bool {
    // Class 08 is trouble with the connection, 53 a lack of something, and 57P that the server stops or starts. One that
    // has become a standby may be the primary again, or another host is.
    ["08", "53", "57P", "25006"].iter().any(|class| code.code().starts_with(class))
}

fn advice(code: &SqlState) -> &'static str {
    match code.code() {
        "28000" => "see that user and database are let in by the server's pg_hba.conf, and whether it asks for TLS",
        "28P01" => "see that user and password are right",
        "3D000" => "create the database, or name another one",
        "3F000" => "create the schema, or name another one",
        "42501" => {
            "the user may not do this: let one who may create tables open it once, and grant this one the rights to \
             use the schema and to read and write its tables"
        }
        "42P07" | "42710" => "something else has tables of these names there; choose a schema of its own with `schema`",
        "42P01" | "42703" => "its tables are not those of a journal; choose a schema of its own with `schema`",
        "25006" => "the server only reads, as a standby does; name one that may be written to",
        "53300" => "the server has no connections left; raise its max_connections, or stop what holds them",
        "53100" => "the server's disk is full",
        "55P03" => "another session holds a lock on some of it for long: pg_stat_activity and pg_locks tell which",
        "57P03" => "the server is starting or stopping; try again",
        "22021" | "22P05" => "the database has to be of the encoding UTF8",
        _ => "see what the server says",
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(span) => write!(f, "the server said nothing for {}", humantime::format_duration(*span)),
            Self::Server(error) => match error.as_db_error() {
                Some(said) => write!(f, "{said} ({})", said.code().code()),
                None => match error.source() {
                    Some(source) => write!(f, "{error}: {source}"),
                    None => write!(f, "{error}"),
                },
            },
        }?;
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for Trouble {}

pub(super) fn unusable(journal: &str, advice: impl Into<String>, source: BoxError) -> JournalError {
    JournalError::Store { journal: journal.to_owned(), advice: advice.into(), source }
}
