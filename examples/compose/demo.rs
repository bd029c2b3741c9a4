//! The repository that is deployed where none is named: a shop in two versions, with the images that it needs.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;
use step_machine_examples::disk::{remove, write};

use crate::place::Place;
use crate::registry;

/// The images, with how much of them is their own, in kilobytes.
const IMAGES: [(&str, usize); 5] =
    [("db:1", 192), ("api:1.0.0", 256), ("api:2.0.0", 256), ("web:1.0.0", 384), ("web:2.0.0", 384)];

/// The versions, each a tag; the branch `main` is where the last one is.
const VERSIONS: [&str; 2] = ["1.0.0", "2.0.0"];

/// Who writes the commits, and when: so that they are the same on every machine.
const IDENTITY: [(&str, &str); 8] = [
    ("GIT_AUTHOR_NAME", "The shop"),
    ("GIT_AUTHOR_EMAIL", "shop@localhost"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "The shop"),
    ("GIT_COMMITTER_EMAIL", "shop@localhost"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
    // No hook, signature or default of whoever runs the example.
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
];

/// Fills the registry, and makes the repository, where they are not there yet.
pub(crate) fn prepare(place: &Place, with_repository: bool) -> io::Result<()> {
    registry::prepare(&place.registry(), &IMAGES)?;
    if !with_repository || place.repository().exists() {
        return Ok(());
    }
    let new = place.root().join(format!(".repository.{}.part", std::process::id()));
    remove(&new)?;
    let made = make(&new).and_then(|()| fs::rename(&new, place.repository()));
    if made.is_err() {
        remove(&new)?;
    }
    // Another process may have been first.
    made.or_else(|error| if place.repository().exists() { Ok(()) } else { Err(error) })
}

fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    git(folder, &["init", "--quiet", "--initial-branch", "main"])?;
    for version in VERSIONS {
        write(&folder.join("compose.json"), &compose_file(version))?;
        git(folder, &["add", "compose.json"])?;
        git(folder, &["commit", "--quiet", "--message", &format!("Release {version}")])?;
        git(folder, &["tag", &format!("v{version}")])?;
    }
    Ok(())
}

fn compose_file(version: &str) -> serde_json::Value {
    let serve = json!(["serve", "page.txt"]);
    json!({ "services": {
        "db": { "image": "db:1", "command": serve, "port": 5432 },
        "api": { "image": format!("api:{version}"), "command": serve, "port": 9000, "depends_on": ["db"] },
        "web": {
            "image": format!("web:{version}"),
            "command": serve,
            "port": 8080,
            "depends_on": ["api"],
            "healthcheck": { "path": "/health" },
            "labels": { "traefik.enable": "true" },
        },
    } })
}

fn git(folder: &Path, arguments: &[&str]) -> io::Result<()> {
    let mut git = step_machine_examples::git::git().into_std();
    let done = git.arg("-C").arg(folder).args(arguments).envs(IDENTITY).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("git: {}", String::from_utf8_lossy(&done.stderr).trim())))
}
