//! The registry: a folder of releases with their checksums.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use step_machine_examples::disk::{gone, read, write};
use step_machine_examples::file_server::{hex, incompressible};
use step_machine_examples::site;

use crate::place::Place;

/// The name of the file in which all releases stand.
pub(crate) const INDEX: &str = "index.json";

/// How large the catalogue of a release is, so that there is something to download.
const CATALOGUE: usize = 384 * 1024;

/// All releases, by application and version.
pub(crate) type Index = BTreeMap<String, BTreeMap<String, Entry>>;

/// A release in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) sha256: String,
}

/// What a release is like.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Nature {
    /// How long its service takes to get ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t)]
    pub(crate) warm_up: u16,
    /// Its page has a fault, so that its service answers 500
    #[arg(long)]
    pub(crate) broken: bool,
    /// Its page is missing, so that its service dies at its start
    #[arg(long)]
    pub(crate) dies: bool,
}

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) app: String,
    pub(crate) version: String,
    pub(crate) warm_up_ms: u64,
    /// The rights that its files are to have, octal as `chmod` takes them.
    pub(crate) modes: BTreeMap<String, String>,
}

/// Whether the registry has the release.
pub(crate) fn has(place: &Place, app: &str, version: &str) -> io::Result<bool> {
    let index: Index = read(&place.registry().join(INDEX))?.unwrap_or_default();
    Ok(index.get(app).is_some_and(|versions| versions.contains_key(version)))
}

/// Packs a release and puts it into the registry.
pub(crate) fn release(place: &Place, app: &str, version: &str, nature: Nature) -> io::Result<()> {
    let (registry, file) = (place.registry(), format!("{app}-{version}.tar.gz"));
    let folder = registry.join(format!(".{app}-{version}"));
    gone(fs::remove_dir_all(&folder))?;
    write_release(&folder, app, version, nature)?;
    let packed = Command::new("tar").arg("-czf").arg(registry.join(&file)).arg("-C").arg(&folder).arg(".").output();
    fs::remove_dir_all(&folder)?;
    let packed = packed?;
    if !packed.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&packed.stderr).trim().to_owned()));
    }
    let sha256 = hex(&Sha256::digest(fs::read(registry.join(&file))?));
    let mut index: Index = read(&registry.join(INDEX))?.unwrap_or_default();
    index.entry(app.to_owned()).or_default().insert(version.to_owned(), Entry { file, sha256 });
    write(&registry.join(INDEX), &index)
}

fn write_release(folder: &Path, app: &str, version: &str, nature: Nature) -> io::Result<()> {
    let modes = [("config.json", "600"), ("public", "755"), ("public/catalogue", "644")];
    let manifest = Manifest {
        app: app.to_owned(),
        version: version.to_owned(),
        warm_up_ms: u64::from(nature.warm_up) * 1000,
        modes: modes.map(|(file, mode)| (file.to_owned(), mode.to_owned())).into(),
    };
    write(&folder.join("release.json"), &manifest)?;
    site::write(&folder.join("config.json.j2"), include_str!("../assets/release/config.json.j2"))?;
    let page = include_str!("../assets/release/page.html.j2");
    let fault = if nature.broken { "{{ stock }}\n" } else { "" };
    if !nature.dies {
        site::write(&folder.join("page.html.j2"), &format!("{page}{fault}"))?;
    }
    fs::create_dir_all(folder.join("public"))?;
    fs::write(folder.join("public/catalogue"), incompressible(version, CATALOGUE))
}
