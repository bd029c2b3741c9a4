//! Files and folders, as all flows write and remove them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::site;

/// Removes a file, a link, or a folder with all that is in it. Nothing to do is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a file of JSON.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Writes a file of JSON in one go: who reads it meanwhile finds the old or the new one. Fails where its folder is gone.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let new = beside(path);
    fs::write(&new, serde_json::to_string_pretty(value)? + "\n")?;
    fs::rename(new, path)
}

/// Where something is made ready that then takes the place of `path`.
pub fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Reads a file of JSON; `None` where there is none.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.and_then(|text| Ok(serde_json::from_str(&text)?)),
    };
    text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Writes a file of JSON, which is there as a whole or not at all, and the folders above it where they are missing.
pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    site::write(&beside(path), &(serde_json::to_string_pretty(value)? + "\n"))?;
    fs::rename(beside(path), path)
}

/// What is removed may be gone already.
pub fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes a folder with all that is in it, also where a process whose parent was killed still adds to it.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let mut left = 20;
    loop {
        match gone(fs::remove_dir_all(path)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && left > 0 => left -= 1,
            removed => return removed,
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Removes what earlier attempts have left of making `path` ready: those files and folders that [`part`] names.
pub fn remove_parts(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let prefix = format!(".{}.", name.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let found = entry.file_name().display().to_string();
        if found.starts_with(&prefix) && entry.path().extension().is_some_and(|extension| extension == "part") {
            if entry.file_type()?.is_dir() {
                remove_folder(&entry.path())?;
            } else {
                gone(fs::remove_file(entry.path()))?;
            }
        }
    }
    Ok(())
}

/// Where an attempt makes `path` ready: a place of its own, as a command of an attempt whose process was killed may still
/// be writing to that one's.
pub fn part(path: &Path, attempt: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(format!(".{}.{attempt}.part", name.display()))
}

/// Sets the rights of a file or folder.
#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

// Rights are another matter elsewhere: what there is to set is whether the owner may write.
#[cfg(not(unix))]
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let mut rights = fs::metadata(path)?.permissions();
    rights.set_readonly(mode & 0o200 == 0);
    fs::set_permissions(path, rights)
}
