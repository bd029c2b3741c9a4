//! The state file: what exists, as far as is known.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{TofuError, file, read_json};

const NAME: &str = "terraform.tfstate";

/// How often is looked whether a lock is free.
const LOOK: Duration = Duration::from_millis(20);

/// `terraform.tfstate`.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    serial: u64,
    outputs: BTreeMap<String, OutputValue>,
    resources: Vec<StoredResource>,
}

/// A value that the configuration hands out.
#[derive(Serialize, Deserialize)]
pub(super) struct OutputValue {
    value: Value,
}

/// A resource that exists, or was begun.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredResource {
    pub(super) name: String,
    /// Its creation began and did not end.
    pub(super) tainted: bool,
    pub(super) output: Map<String, Value>,
}

impl State {
    pub(super) fn read(folder: &Path) -> Result<Self, TofuError> {
        match read_json(folder, NAME) {
            Err(TofuError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Self::empty()),
            read => read,
        }
    }

    fn empty() -> Self {
        Self { version: 4, serial: 0, outputs: BTreeMap::new(), resources: Vec::new() }
    }

    /// Writes it to a new file first: a crash leaves the old state or the new one.
    pub(super) fn write(&mut self, folder: &Path) -> Result<(), TofuError> {
        self.serial += 1;
        let write = || {
            let new = folder.join(format!("{NAME}.new"));
            fs::write(&new, serde_json::to_string_pretty(self)?)?;
            fs::rename(&new, folder.join(NAME))
        };
        write().map_err(|source| file(NAME, source))
    }

    pub(super) fn is_complete(&self, name: &str) -> bool {
        self.resources.iter().any(|resource| resource.name == name && !resource.tainted)
    }

    pub(super) fn is_tainted(&self, name: &str) -> bool {
        self.resources.iter().any(|resource| resource.name == name && resource.tainted)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.resources.iter().map(|resource| resource.name.clone()).collect()
    }

    pub(super) fn put(&mut self, resource: StoredResource) {
        self.remove(&resource.name.clone());
        self.resources.push(resource);
    }

    pub(super) fn untaint(&mut self, name: &str) {
        for resource in self.resources.iter_mut().filter(|resource| resource.name == name) {
            resource.tainted = false;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.resources.retain(|resource| resource.name != name);
    }

    pub(super) fn set_outputs(&mut self, outputs: BTreeMap<String, Value>) {
        self.outputs = outputs.into_iter().map(|(name, value)| (name, OutputValue { value })).collect();
    }

    pub(super) fn outputs(&self) -> &BTreeMap<String, OutputValue> {
        &self.outputs
    }
}

/// The lock on the state. Goes with its value, and with a process that is killed.
#[derive(Debug)]
pub(super) struct StateLock {
    /// Locked as long as it is open. The file itself stays: a lock on one that is removed keeps nobody out.
    _file: File,
}

impl StateLock {
    /// Takes the lock, and waits so long for somebody else who has it.
    pub(super) fn take(folder: &Path, patience: Duration) -> Result<Self, TofuError> {
        let path = folder.join(format!(".{NAME}.lock.info"));
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = opened.map_err(|source| file(NAME, source))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _file: lock }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(TofuError::Locked { lock: path }),
                Err(TryLockError::Error(source)) => return Err(file(NAME, source)),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lasts_as_long_as_it_is_held() {
        let folder = std::env::temp_dir().join(format!("step-machine-lock-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let lock = StateLock::take(&folder, Duration::ZERO).unwrap();
        assert!(matches!(StateLock::take(&folder, Duration::ZERO), Err(TofuError::Locked { .. })));
        drop(lock);
        // The file is still there, as one is that a killed process leaves.
        assert!(StateLock::take(&folder, LOOK).is_ok());
        fs::remove_dir_all(&folder).unwrap();
    }
}
