//! Images and containers where there is no engine: folders, and a process of this program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use step_machine::StepContext;
use step_machine_examples::disk::{read_json, write_json};
use step_machine_examples::file_server::hex;
use step_machine_examples::http::Answer;
use step_machine_examples::launch;

use crate::dockerfile::{Copy, Dockerfile};
use crate::error::{Doing, PublishError};
use crate::files;

/// What an image consists of.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    from: String,
    workdir: PathBuf,
    command: Vec<String>,
    /// The digests of the layers, which are folders beside this file with the numbers 0, 1, ..
    layers: Vec<String>,
}

/// Builds the image of `context` in the folder `image`; gives its digest.
pub(crate) async fn build(context: &Path, image: &Path, cx: &mut StepContext) -> Result<String, PublishError> {
    let text = fs::read_to_string(context.join("Dockerfile"));
    let text = text.map_err(|source| PublishError::Missing { file: "Dockerfile", source })?;
    let Dockerfile { from, workdir, command, copies } = Dockerfile::parse(&text)?;
    let mut layers = Vec::new();
    let share = 1.0 / f64::from(u32::try_from(copies.len()).unwrap_or(u32::MAX).max(1));
    for (nth, copy) in (0_u32..).zip(&copies) {
        let layer = image.join(nth.to_string());
        let begin = f64::from(nth) * share;
        let digest = build_layer(context, &layer, copy, [begin, begin + share], cx).await;
        layers.push(digest.doing("build a layer of the image")?);
    }
    let manifest = Manifest { from, workdir, command, layers };
    write_json(&image.join("manifest.json"), &manifest).doing("write the manifest of the image")?;
    let text = serde_json::to_vec(&manifest).map_err(io::Error::from).doing("write the manifest of the image")?;
    Ok(format!("sha256:{}", hex(&Sha256::digest(text))))
}

async fn build_layer(
    context: &Path,
    layer: &Path,
    copy: &Copy,
    [begin, end]: [f64; 2],
    cx: &mut StepContext,
) -> io::Result<String> {
    let (from, to) = (context.join(&copy.from), layer.join(&copy.to));
    if from.is_dir() {
        files::copy(&from, &to, begin, end, cx).await?;
    } else {
        fs::create_dir_all(&to)?;
        files::copy_one(&from, &to.join(from.file_name().unwrap_or_default()), begin, end, cx).await?;
    }
    let digest = digest(layer)?;
    cx.stdout(format!("COPY {} -> {digest}", copy.from.display()));
    Ok(digest)
}

/// The digest of the names and contents of all files of a folder.
fn digest(folder: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for file in files::list(folder)? {
        let content = fs::read(folder.join(&file))?;
        hash.update(format!("{} {}\n", file.display(), content.len()));
        hash.update(content);
    }
    Ok(format!("sha256:{}", hex(&hash.finalize())))
}

/// Creates the container `folder` with a copy of what is in the folder `image`.
pub(crate) async fn create(image: &Path, folder: &Path, cx: &mut StepContext) -> io::Result<()> {
    let manifest: Manifest = read_json(&image.join("manifest.json"))?;
    fs::create_dir(folder)?;
    let share = 1.0 / f64::from(u32::try_from(manifest.layers.len()).unwrap_or(u32::MAX).max(1));
    for (nth, _) in (0_u32..).zip(&manifest.layers) {
        let (layer, begin) = (image.join(nth.to_string()), f64::from(nth) * share);
        files::copy(&layer, &root(folder), begin, begin + share, cx).await?;
    }
    write_json(&folder.join("container.json"), &manifest)
}

/// The files of the container.
pub(crate) fn root(folder: &Path) -> PathBuf {
    folder.join("root")
}

/// Where the process of the container listens.
pub(crate) fn listening(folder: &Path) -> PathBuf {
    folder.join("listening.json")
}

/// Is the process of a container. In place of the command of the image it serves the files of its folder.
pub(crate) fn serve(folder: &Path) -> io::Result<()> {
    let container = folder.join("container.json");
    let manifest: Manifest = read_json(&container)?;
    let files = root(folder).join(manifest.workdir);
    launch::serve(&listening(folder), &container, move |path| Answer::of_file(&files, path))
}
