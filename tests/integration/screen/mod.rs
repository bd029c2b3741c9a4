//! What people see of a run: lines of text, and what is drawn on a terminal.

mod bar;
mod log;
#[cfg(unix)]
mod pty;
mod script;
mod terminal;
mod text;

use std::path::Path;

/// Compares a text with the kept file of this name; `UPDATE_KEPT=1` writes the file anew.
fn assert_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/screen/kept").join(name);
    if std::env::var_os("UPDATE_KEPT").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} differs; it is now:\n{text}", path.display());
}
