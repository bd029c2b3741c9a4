//! The registry: a folder of images in layers, each by its checksum, and who asks it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use step_machine_examples::disk::{read, remove, write};
use step_machine_examples::file_server::hex;
use step_machine_examples::http::{self, Incoming};
use tokio::io::AsyncReadExt;

use crate::error::ComposeError;

/// The name of the file in which all images stand.
pub(crate) const INDEX: &str = "index.json";

/// The folder of the layers.
pub(crate) const LAYERS: &str = "layers";

/// How long the registry may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How large the layer is that all images stand on.
const BASE: usize = 512 * 1024;

/// All images, by name and tag.
pub(crate) type Index = BTreeMap<String, Vec<Layer>>;

/// A layer of an image: a tar archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

/// Puts images into the registry, each with how many kilobytes are its own: a page with its name, and data, on what all
/// images stand on.
pub(crate) fn add(registry: &Path, images: &[(&str, usize)]) -> io::Result<()> {
    let mut index: Index = read(&registry.join(INDEX))?.unwrap_or_default();
    let base = layer(registry, &[("base", data("base", BASE))])?;
    for (image, kilobytes) in images {
        let page = format!("{}\n", image.replace(':', " "));
        let own = layer(registry, &[("page.txt", page.into_bytes()), ("data", data(image, kilobytes * 1024))])?;
        index.insert((*image).to_owned(), vec![base.clone(), own]);
    }
    write(&registry.join(INDEX), &index)
}

/// So many bytes that no other image has.
fn data(image: &str, length: usize) -> Vec<u8> {
    image.bytes().cycle().take(length).collect()
}

/// Packs a layer of these files.
fn layer(registry: &Path, files: &[(&str, Vec<u8>)]) -> io::Result<Layer> {
    let folder = registry.join(format!(".{}.part", std::process::id()));
    remove(&folder)?;
    fs::create_dir_all(&folder)?;
    let packed = pack(&folder, files);
    remove(&folder)?;
    let packed = packed?;
    let layer = Layer { sha256: hex(&Sha256::digest(&packed)), size: packed.len() as u64 };
    let path = registry.join(LAYERS).join(&layer.sha256);
    if !path.exists() {
        fs::create_dir_all(registry.join(LAYERS))?;
        fs::write(path, packed)?;
    }
    Ok(layer)
}

fn pack(folder: &Path, files: &[(&str, Vec<u8>)]) -> io::Result<Vec<u8>> {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        // The same files are the same archive, whenever they are packed.
        File::options().write(true).open(path)?.set_modified(UNIX_EPOCH)?;
    }
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg("-").arg("-C").arg(folder).args(files.iter().map(|(name, _)| name));
    let packed = tar.output()?;
    if packed.status.success() {
        return Ok(packed.stdout);
    }
    Err(io::Error::other(String::from_utf8_lossy(&packed.stderr).trim().to_owned()))
}

/// Puts the images of the example into the registry, where there are none.
pub(crate) fn prepare(registry: &Path, images: &[(&str, usize)]) -> io::Result<()> {
    if registry.join(INDEX).exists() {
        return Ok(());
    }
    add(registry, images)
}

/// The registry as its clients see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    address: SocketAddr,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// All images.
    pub(crate) async fn index(self) -> Result<Index, ComposeError> {
        let mut answer = self.ask(INDEX).await?;
        let mut text = Vec::new();
        let read = (&mut answer.body).take(answer.length).read_to_end(&mut text).await;
        read.and_then(|_| Ok(serde_json::from_slice(&text)?)).map_err(|source| self.silent(source))
    }

    /// The bytes of a layer.
    pub(crate) async fn layer(self, layer: &Layer) -> Result<Incoming, ComposeError> {
        self.ask(&format!("{LAYERS}/{}", layer.sha256)).await
    }

    async fn ask(self, path: &str) -> Result<Incoming, ComposeError> {
        let answer = tokio::time::timeout(PATIENCE, http::ask(self.address, "GET", &format!("/{path}"))).await;
        let answer = answer.map_err(io::Error::from).and_then(|answer| answer);
        let mut answer = answer.map_err(|source| self.silent(source))?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let mut text = String::new();
        let read = (&mut answer.body).take(answer.length).read_to_string(&mut text).await;
        read.map_err(|source| self.silent(source))?;
        Err(ComposeError::Refused { path: path.to_owned(), status: answer.status, text })
    }

    pub(crate) fn silent(self, source: io::Error) -> ComposeError {
        ComposeError::Registry { address: self.address, source }
    }
}
