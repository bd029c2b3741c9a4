//! Errors that classify themselves, and why a step failed.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::event::{Effect, ErrorRecord, FailureRecord};
#[cfg(feature = "runner")]
use crate::event::{Reason, RunStatus};
use crate::journal::JournalError;
use crate::policy::Advice;

/// An error that knows its own class. Written by `#[derive(StepError)]`, beside `thiserror::Error`.
///
/// A failure takes its kind from here; no code anywhere maps an error back to the step it came from.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use step_machine::StepError;
///
/// #[derive(Debug, thiserror::Error, StepError)]
/// enum ProvisionError {
///     #[error("the template {name} is broken")]
///     #[step_error(kind = "template-rendering", fatal)]
///     Template { name: String },
///     #[error("the server asks to wait {wait:?}")]
///     #[step_error(kind = "network", retry_after = wait)]
///     Busy { wait: Duration },
/// }
///
/// let error = ProvisionError::Template { name: "main.tf".into() };
/// assert_eq!(error.kind(), "template-rendering");
/// assert!(error.is_fatal());
/// let error = ProvisionError::Busy { wait: Duration::from_secs(3) };
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what kind of step error it is",
    label = "the error of a step has to classify itself",
    note = "add `#[derive(StepError)]` beside `#[derive(thiserror::Error)]`; `std::io::Error` works as it is",
    note = "an error that can be anything, as in `Box<dyn Error>`, goes into a variant or struct of your own"
)]
pub trait StepError: Error + Send + Sync + 'static {
    /// The class of the error, in words of your own: `timeout`, `network`, `configuration`.
    #[expect(clippy::unnecessary_literal_bound, reason = "an error may hold its kind")]
    fn kind(&self) -> &str {
        "other"
    }

    /// Whether trying again is pointless. A fatal error is never retried.
    fn is_fatal(&self) -> bool {
        false
    }

    /// How long to wait before the next attempt, where the error knows it better than the step's retry rule.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Whether it is known what the step changed before it failed.
    fn effect(&self) -> Effect {
        Effect::Known
    }

    /// The failure of the workflow that ran inside the step, where that is what went wrong.
    fn nested(&self) -> Option<&FailureRecord> {
        None
    }
}

impl StepError for Infallible {}

/// The kind is that of the I/O error: `not-found`, `permission-denied`, `timed-out`, `connection`, `storage` or `io`.
impl StepError for io::Error {
    fn kind(&self) -> &str {
        use io::ErrorKind as K;
        match io::Error::kind(self) {
            K::NotFound => "not-found",
            K::PermissionDenied | K::ReadOnlyFilesystem => "permission-denied",
            K::TimedOut => "timed-out",
            K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::AddrInUse
            | K::AddrNotAvailable
            | K::NetworkDown
            | K::NetworkUnreachable
            | K::HostUnreachable
            | K::BrokenPipe => "connection",
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => "storage",
            _ => "io",
        }
    }
}

#[diagnostic::do_not_recommend]
impl<E: StepError> StepError for Box<E> {
    fn kind(&self) -> &str {
        (**self).kind()
    }

    fn is_fatal(&self) -> bool {
        (**self).is_fatal()
    }

    fn retry_after(&self) -> Option<Duration> {
        (**self).retry_after()
    }

    fn effect(&self) -> Effect {
        (**self).effect()
    }

    fn nested(&self) -> Option<&FailureRecord> {
        (**self).nested()
    }
}

/// What stopped a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<E> {
    /// The step's own error.
    Error(E),
    /// The step or the run took longer than it may.
    Timeout {
        /// What it may take.
        limit: Duration,
    },
    /// The step's body panicked.
    Panic {
        /// The panic's message.
        message: String,
    },
    /// The run was stopped from outside.
    Cancelled,
    /// The workflow that is nested in the step did not complete.
    Nested(Box<dyn StepError>),
    /// A test made the step fail; see [`testing`](crate::testing).
    #[cfg(feature = "runner")]
    Injected,
    /// The run was stopped earlier, by an error of which only the record is left.
    Earlier {
        /// The record.
        error: Box<ErrorRecord>,
    },
    /// The step's output could not be recorded.
    Output(serde_json::Error),
    /// The run's journal could not be written or read.
    Journal(JournalError),
}

impl<E: StepError> Cause<E> {
    /// The cause as data.
    pub(crate) fn record(&self) -> ErrorRecord {
        match self {
            Self::Error(error) => error_record(error),
            Self::Timeout { .. } => self.plain("timeout", Effect::Unknown),
            Self::Panic { .. } => self.plain("panic", Effect::Unknown),
            Self::Cancelled => self.plain("cancelled", Effect::Unknown),
            Self::Nested(failure) => error_record(&**failure),
            #[cfg(feature = "runner")]
            Self::Injected => self.plain("injected", Effect::Unknown),
            Self::Earlier { error } => (**error).clone(),
            Self::Output(_) => self.plain("output", Effect::Known),
            Self::Journal(error) => of_error(error, "journal".into(), Effect::Unknown),
        }
    }

    /// What the cause says about trying again: it is worth it after an error that allows it, and after a timeout.
    #[cfg(feature = "runner")]
    pub(crate) fn advice(&self) -> Advice {
        match self {
            Self::Error(error) => advice(error),
            Self::Timeout { .. } | Self::Injected => Advice::default(),
            Self::Nested(failure) => advice(&**failure),
            _ => Advice { fatal: true, retry_after: None },
        }
    }

    /// How a run ends that this stopped.
    #[cfg(feature = "runner")]
    pub(crate) fn status(&self) -> RunStatus {
        if matches!(self, Self::Cancelled) { RunStatus::Cancelled } else { RunStatus::Failed }
    }

    /// The reason of a step that ends by this cause, where the status does not say it.
    #[cfg(feature = "runner")]
    pub(crate) fn reason(&self) -> Option<Reason> {
        matches!(self, Self::Panic { .. }).then_some(Reason::Panicked)
    }

    fn plain(&self, kind: &'static str, effect: Effect) -> ErrorRecord {
        ErrorRecord { kind: Cow::Borrowed(kind), message: self.to_string(), chain: Vec::new(), effect, nested: None }
    }
}

impl<E: Error + 'static> Cause<E> {
    /// The error behind the cause, where there is one.
    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Error(error) => Some(error),
            Self::Output(error) => Some(error),
            Self::Journal(error) => Some(error),
            Self::Nested(failure) => Some(&**failure),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Timeout { limit } => write!(f, "took longer than {limit:?}"),
            Self::Panic { message } => write!(f, "panicked: {message}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Nested(failure) => failure.fmt(f),
            #[cfg(feature = "runner")]
            Self::Injected => f.write_str("failed by a test"),
            Self::Earlier { error } => f.write_str(&error.message),
            Self::Output(error) => write!(f, "its output cannot be recorded as JSON: {error}"),
            Self::Journal(error) => error.fmt(f),
        }
    }
}

/// What an error says about trying again.
pub(crate) fn advice<E: StepError + ?Sized>(error: &E) -> Advice {
    Advice { fatal: error.is_fatal(), retry_after: error.retry_after() }
}

/// A step's error as data.
pub(crate) fn error_record<E: StepError + ?Sized>(error: &E) -> ErrorRecord {
    ErrorRecord {
        nested: error.nested().cloned().map(Box::new),
        ..of_error(error, error.kind().to_owned().into(), error.effect())
    }
}

/// An error and its sources on one line.
pub(crate) fn whole_text(error: &JournalError) -> String {
    let record = of_error(error, "journal".into(), Effect::Unknown);
    std::iter::once(record.message).chain(record.chain).collect::<Vec<_>>().join(": ")
}

fn of_error<E: Error + ?Sized>(error: &E, kind: Cow<'static, str>, effect: Effect) -> ErrorRecord {
    ErrorRecord {
        kind,
        message: error.to_string(),
        chain: std::iter::successors(error.source(), |&level| level.source()).map(ToString::to_string).collect(),
        effect,
        nested: None,
    }
}
