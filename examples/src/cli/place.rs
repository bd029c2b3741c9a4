//! What runs are kept in: a file, a database of a server, or nothing.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use step_machine::{Journal, SqliteJournal};

use super::keep_error::KeepError;
use super::quoted;

/// The variable that stands for `--journal`: of the command `step-machine` as of the examples. It keeps a password out of
/// the list of processes.
pub(super) const VARIABLE: &str = "STEP_MACHINE_JOURNAL";

/// What runs are kept in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Nothing,
    File(PathBuf),
    /// A URL, which may have a password in it.
    Server(String),
    /// A URL of something else, which may have one too.
    Unknown,
}

impl From<OsString> for Place {
    fn from(text: OsString) -> Self {
        let is_url = |text: &&str| ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        match text.to_str() {
            Some("none") => Self::Nothing,
            Some(text) if is_url(&text) => Self::Server(text.to_owned()),
            Some(text) if text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) => Self::Unknown,
            _ => Self::File(text.into()),
        }
    }
}

/// As it may be shown to anybody.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(url) => f.write_str(&without_password(url)),
            Self::Unknown => f.write_str("***"),
        }
    }
}

/// Not as it is: what is debugged is printed, too.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl Place {
    /// Opens it; `None` where nothing is kept.
    pub(super) fn open(&self, accept_damaged_log: bool) -> Result<Option<Arc<dyn Journal>>, KeepError> {
        match self {
            Self::Nothing => Ok(None),
            Self::File(path) => {
                let options = SqliteJournal::options().accept_damaged_log(accept_damaged_log);
                Ok(Some(Arc::new(options.open(path)?)))
            }
            Self::Unknown => Err(KeepError::NoPlace),
            Self::Server(_) if accept_damaged_log => Err(KeepError::NoLog),
            Self::Server(url) => on_server(url).map(Some),
        }
    }

    /// Whether it is a file that is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::File(path) if path.try_exists().is_ok_and(|is_there| !is_there))
    }

    /// What the runs of a folder are found by: on a server, others may have a folder of the same name.
    pub(super) fn name_of(&self, folder: &Path) -> String {
        match self {
            Self::Server(_) => format!("{}:{}", host(), folder.display()),
            _ => folder.display().to_string(),
        }
    }

    /// What a person types to name it; nothing where the environment does.
    pub(super) fn option(&self) -> String {
        if std::env::var_os(VARIABLE).is_some_and(|text| Self::from(text) == *self) {
            return String::new();
        }
        format!(" --journal {}", quoted(&self.to_string()))
    }

    /// A command line on a build that can open it.
    pub(super) fn built(&self, line: String) -> String {
        match self {
            Self::Server(_) => line.replacen("cargo run ", "cargo run --features postgres ", 1),
            _ => line,
        }
    }
}

#[cfg(feature = "postgres")]
fn on_server(url: &str) -> Result<Arc<dyn Journal>, KeepError> {
    Ok(Arc::new(step_machine::PostgresJournal::open(url).wait()?))
}

#[cfg(not(feature = "postgres"))]
fn on_server(_: &str) -> Result<Arc<dyn Journal>, KeepError> {
    Err(KeepError::NoServer)
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// The URL with `***` for what may be a password: in what is before the first `@`, as the client reads it, and in each
/// parameter but those whose names are plain and another one's.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (user, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    // An `@` in a password that is not written as `%40` cuts it in two.
    let is_cut = user.is_some_and(|user| {
        user.split(':').next().is_some_and(|name| name.contains(['/', '?', '='])) || user.contains("password=")
    });
    if is_cut || rest.contains('@') {
        return format!("{scheme}://***");
    }
    let user = user.map(|user| user.split_once(':').map_or(user.to_owned(), |(name, _)| format!("{name}:***")));
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let Some((place, parameters)) = rest.split_once('?') else { return format!("{scheme}://{user}{rest}") };
    let shown = parameters.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if !is_harmless(name) => format!("{name}=***"),
        _ => parameter.to_owned(),
    });
    format!("{scheme}://{user}{place}?{}", shown.collect::<Vec<_>>().join("&"))
}

fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_harmless(name: &str) -> bool {
    name != "password" && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://host/runs", "postgres://host/runs"),
            ("postgres://anna@host:5433/runs", "postgres://anna@host:5433/runs"),
            ("postgresql://anna:geheim@host/runs", "postgresql://anna:***@host/runs"),
            ("postgres://anna:ge/h?e:im@host/runs", "postgres://anna:***@host/runs"),
            ("postgres://host/runs?user=anna&password=geheim", "postgres://host/runs?user=anna&password=***"),
            ("postgres://anna:ge@heim@host/runs", "postgres://***"),
            ("postgres://host?password=ge@heim", "postgres://***"),
            ("postgres://host:5432?password=ge@heim", "postgres://***"),
            ("Postgres://anna:geheim@host/runs", "***"),
            ("postgress://anna:geheim@host/runs", "***"),
            (
                "postgres://host/runs?%70assword=geheim&sslmode=require",
                "postgres://host/runs?%70assword=***&sslmode=require",
            ),
        ] {
            let place = Place::from(std::ffi::OsString::from(url));
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?}{}", place.option()).contains("im"), "{place:?}");
        }
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        let option = |text: &str| Place::from(std::ffi::OsString::from(text)).option();
        assert_eq!(option("runs.db"), " --journal runs.db");
        assert_eq!(option("my runs/it's.db"), r" --journal 'my runs/it'\''s.db'");
        assert_eq!(option("postgres://anna@host/runs"), " --journal postgres://anna@host/runs");
        assert_eq!(option("postgres://anna:x@host/runs?a=b&c=d"), " --journal 'postgres://anna:***@host/runs?a=b&c=d'");
    }
}
