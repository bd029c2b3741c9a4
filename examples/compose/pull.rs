//! Pulling images: what is missing of them comes from the registry, in pieces.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use step_machine::{StepContext, Task};
use step_machine_examples::disk::{beside, remove};
use step_machine_examples::download::{Download, DownloadError, share};
use step_machine_examples::file_server::hex;
use step_machine_examples::steps::Stack;

use crate::error::{At, ComposeError};
use crate::place::{Place, names};
use crate::registry::{Client, Index, Layer};

/// Pulls the images of a stack.
pub(crate) struct Puller<'a> {
    pub(crate) place: &'a Place,
    pub(crate) registry: Client,
    /// How many bytes may come in a second.
    pub(crate) bandwidth: Option<u64>,
}

/// One image, with how much of it is to come.
struct Image {
    name: String,
    missing: Vec<Layer>,
    task: Task,
}

/// How much came since when.
struct Meter {
    done: u64,
    begun: Instant,
}

impl Puller<'_> {
    pub(crate) async fn pull(&self, stack: &Stack, cx: &mut StepContext) -> Result<(), ComposeError> {
        let folder = self.place.images();
        fs::create_dir_all(&folder).at(&folder)?;
        let index = self.registry.index().await?;
        let images = self.missing(stack, &index, cx)?;
        let total: u64 = images.iter().flat_map(|image| &image.missing).map(|layer| layer.size).sum();
        let mut meter = Meter { done: 0, begun: Instant::now() };
        cx.metadata("bytes", total);
        for mut image in images {
            match self.pull_image(&mut image, &mut meter).await {
                Ok(()) => image.task.complete(),
                Err(error) => {
                    image.task.fail(error.to_string());
                    return Err(error);
                }
            }
        }
        cx.message(if total == 0 { "everything was here".to_owned() } else { format!("{} KB", total.div_ceil(1024)) });
        Ok(())
    }

    /// What there is to download of each image: what has the right checksum is here. A layer that several images share
    /// is downloaded with the first of them.
    fn missing(&self, stack: &Stack, index: &Index, cx: &mut StepContext) -> Result<Vec<Image>, ComposeError> {
        let (mut images, mut known) = (Vec::<Image>::new(), BTreeSet::new());
        for service in &stack.services {
            if images.iter().any(|image| image.name == service.image) {
                continue;
            }
            let layers = layers(index, &service.image)?;
            let mut missing = Vec::new();
            for layer in layers {
                if known.insert(layer.sha256.clone()) && !is_here(&self.path(layer), layer)? {
                    missing.push(layer.clone());
                }
            }
            let name = service.image.clone();
            let task = cx.task(name.clone(), format!("Pull {name}"));
            images.push(Image { name, missing, task });
        }
        Ok(images)
    }

    async fn pull_image(&self, image: &mut Image, meter: &mut Meter) -> Result<(), ComposeError> {
        let size: u64 = image.missing.iter().map(|layer| layer.size).sum();
        let mut pulled = 0;
        for layer in &image.missing {
            let path = self.path(layer);
            let answer = self.registry.layer(layer).await?;
            let mut download = Download::begin(answer, &beside(&path)).await.map_err(|error| self.broken(error))?;
            let mut before = 0;
            while let Some(got) = download.piece().await.map_err(|error| self.broken(error))? {
                (pulled, meter.done) = (pulled + got - before, meter.done + got - before);
                before = got;
                // The step is as far as its images are.
                image.task.progress(share(pulled, size));
                meter.keep_to(self.bandwidth).await;
            }
            let found = download.finish().await.map_err(|error| self.broken(error))?;
            if found != layer.sha256 {
                remove(&beside(&path)).at(&path)?;
                let listed = layer.sha256.clone();
                return Err(ComposeError::Damaged { image: image.name.clone(), found, listed });
            }
            fs::rename(beside(&path), &path).at(&path)?;
        }
        let text = if image.missing.is_empty() { "is here".to_owned() } else { format!("{} KB", size.div_ceil(1024)) };
        image.task.message(text);
        Ok(())
    }

    fn path(&self, layer: &Layer) -> PathBuf {
        self.place.images().join(&layer.sha256)
    }

    fn broken(&self, error: DownloadError) -> ComposeError {
        match error {
            DownloadError::Network(source) => self.registry.silent(source),
            DownloadError::File { path, source } => ComposeError::File { path, source },
        }
    }
}

impl Meter {
    /// Waits where more has come than may.
    async fn keep_to(&self, bandwidth: Option<u64>) {
        let Some(bandwidth) = bandwidth else { return };
        let due = Duration::from_millis(self.done * 1000 / bandwidth.max(1));
        tokio::time::sleep(due.saturating_sub(self.begun.elapsed())).await;
    }
}

fn layers<'a>(index: &'a Index, image: &str) -> Result<&'a [Layer], ComposeError> {
    let withdrawn = || ComposeError::Withdrawn { image: image.to_owned() };
    index.get(image).map(Vec::as_slice).ok_or_else(withdrawn)
}

/// Whether the layer is here, and undamaged.
fn is_here(path: &Path, layer: &Layer) -> Result<bool, ComposeError> {
    let sum = || -> io::Result<String> {
        let (mut file, mut sum, mut piece) = (fs::File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hex(&sum.finalize())),
                count => sum.update(&piece[..count]),
            }
        }
    };
    match sum() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(found.at(path)? == layer.sha256),
    }
}

/// The files of the layers that the image consists of.
pub(crate) fn files(place: &Place, index: &Index, image: &str) -> Result<Vec<PathBuf>, ComposeError> {
    Ok(layers(index, image)?.iter().map(|layer| place.images().join(&layer.sha256)).collect())
}

/// Removes the layers that none of these images has; how many there were.
pub(crate) fn remove_unused(place: &Place, index: &Index, images: &BTreeSet<&str>) -> io::Result<usize> {
    let used = images.iter().filter_map(|image| index.get(*image)).flatten().map(|layer| layer.sha256.as_str());
    let used: BTreeSet<&str> = used.collect();
    let all = names(&place.images())?;
    let unused: Vec<&String> = all.iter().filter(|name| !used.contains(name.as_str())).collect();
    unused.iter().try_for_each(|name| remove(&place.images().join(name)))?;
    Ok(unused.len())
}
