//! What SQLite says, as errors of the journal.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::journal::error::damaged;
use crate::journal::{BoxError, JournalError};
use crate::run_id::RunId;

/// What to do about a file that may only be read.
pub(super) const MAY_NOT_WRITE: &str =
    "see that the file, its directory, and `-wal` and `-shm` beside it may be written to, or open it only to read";

/// The journal as a whole cannot be used.
pub(super) fn store(path: &Path, source: Error) -> JournalError {
    unusable(path, advice(&source), Box::new(source))
}

pub(super) fn unusable(path: &Path, advice: impl Into<String>, source: BoxError) -> JournalError {
    JournalError::Store { journal: path.display().to_string(), advice: advice.into(), source }
}

fn advice(error: &Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            "see that its directory is there and may be written to, and that its disk has room"
        }
        Some(ErrorCode::NotADatabase) => "the file is no SQLite database, or its beginning is damaged",
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged; restore it from a copy",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => MAY_NOT_WRITE,
        Some(ErrorCode::DiskFull) => "there is no room left for it; make some on its disk, then try again",
        Some(ErrorCode::SystemIoFailure) => "see that its disk has room and is sound",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has been writing to it for too long; try again, or look what that process does"
        }
        _ => "see what the store says",
    }
}

/// Whether this is what SQLite says of a file beside which it may not put others.
pub(super) fn may_be_for_its_folder(error: &JournalError) -> bool {
    let JournalError::Store { source, .. } = error else { return false };
    let code = source.downcast_ref::<Error>().and_then(Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// A run could not be read: because it is damaged, or for another reason.
pub(super) fn read(run: &RunId, source: Error) -> JournalError {
    if is_damage(&source) {
        return damaged(run, format!("the database says: {source}"));
    }
    JournalError::Read { run: run.clone(), source: Box::new(source) }
}

/// Whether another process is just writing to the file.
pub(super) fn is_locked(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether what stands in the file cannot have been written by us.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            Error::InvalidColumnType(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::FromSqlConversionFailure(..)
                | Error::Utf8Error(..)
        )
}
