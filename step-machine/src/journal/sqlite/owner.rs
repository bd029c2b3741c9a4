//! Who drives runs, as files that the operating system unlocks when their process dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::beside;

/// The folder of the owner files, next to the database.
#[derive(Debug, Clone)]
pub(super) struct Home {
    folder: PathBuf,
}

/// A file that is locked as long as this lives.
#[derive(Debug)]
pub(super) struct OwnerFile {
    path: PathBuf,
    // Its lock goes with it.
    _locked: File,
}

impl Home {
    pub(super) fn of(database: &Path) -> Self {
        Self { folder: beside(database, "-owners") }
    }

    /// Makes a file of this name, and locks it.
    pub(super) fn move_in(&self, id: &str) -> io::Result<OwnerFile> {
        let path = self.folder.join(id);
        let file = self.make(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(OwnerFile { path, _locked: file }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error.into())
            }
        }
    }

    fn make(&self, path: &Path) -> io::Result<File> {
        let mut left = 10;
        loop {
            fs::create_dir_all(&self.folder)?;
            match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
                // Whoever was the last one there has just removed the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound && left > 0 => left -= 1,
                other => return other,
            }
        }
    }

    /// Whether the owner with a file of this name lives. Only within a transaction that writes: two who ask at once
    /// would each take the other's lock for the owner's.
    pub(super) fn is_alive(&self, id: &str) -> io::Result<bool> {
        // Whose it is need not be the same user.
        match File::open(self.folder.join(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }

    /// Removes the file of an owner that is dead. One that cannot be removed does no harm.
    pub(super) fn bury(&self, id: &str) {
        let _ = fs::remove_file(self.folder.join(id));
    }
}

impl Drop for OwnerFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // The last one leaves no empty folder behind.
        if let Some(folder) = self.path.parent() {
            let _ = fs::remove_dir(folder);
        }
    }
}
