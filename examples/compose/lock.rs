//! The project's lock: a file that the operating system lets go when the process that holds it dies.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{At, ComposeError};

/// The lock, as long as it is held.
pub(crate) struct Lock {
    _file: File,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    process: u32,
    doing: String,
}

impl Lock {
    /// Takes the lock, and says who has it and what for.
    pub(crate) fn take(path: &Path, project: &str, doing: &str) -> Result<Self, ComposeError> {
        // What is in it is of whoever has it.
        let mut file = File::options().write(true).create(true).truncate(false).open(path).at(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path, project)),
            Err(TryLockError::Error(source)) => return Err(source).at(path),
        }
        let owner = Owner { process: std::process::id(), doing: doing.to_owned() };
        let text = serde_json::to_string(&owner).map_err(io::Error::from).at(path)?;
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).at(path)?;
        Ok(Self { _file: file })
    }
}

fn locked(path: &Path, project: &str) -> ComposeError {
    let owner = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Owner>(&text).ok());
    let owner = owner.map_or_else(
        || "another process".to_owned(),
        |Owner { process, doing }| format!("process {process}, which {doing}"),
    );
    ComposeError::Locked { project: project.to_owned(), owner }
}
