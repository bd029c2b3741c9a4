//! What `--fail-at` breaks things with.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// Adds `text` to the end of a file.
pub fn append(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, fs::read_to_string(path)? + text)
}

/// Changes a file of JSON.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) -> io::Result<()> {
    let mut value = serde_json::from_str(&fs::read_to_string(path)?)?;
    edit(&mut value);
    fs::write(path, serde_json::to_string_pretty(&value)?)
}
