//! What `--fail-at` breaks things with.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// Adds `text` to the end of a file.
pub fn append(path: &Path, text: &str) -> io::Result<()> {
    replace(path, &(fs::read_to_string(path)? + text))
}

/// Changes a file of JSON.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) -> io::Result<()> {
    let mut value = serde_json::from_str(&fs::read_to_string(path)?)?;
    edit(&mut value);
    replace(path, &serde_json::to_string_pretty(&value)?)
}

/// By a new file: a crash leaves the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}
