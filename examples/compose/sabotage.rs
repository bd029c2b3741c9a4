//! `--fail-at STEP-ID`: breaks what a step works with, so that it fails by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use step_machine::event::{Event, StepStart};
use step_machine::{Observer, Workflow};
use step_machine_examples::cli::complain;
use step_machine_examples::damage::edit_json;
use step_machine_examples::disk::{beside, read_json, remove};
use step_machine_examples::steps::ComposeStep;

use crate::composer::Composer;
use crate::lock::Lock;
use crate::place::{Place, names};
use crate::registry::{INDEX, Index, LAYERS};
use crate::service::Services;

/// Breaks one thing when its step starts. What is there for other runs too is repaired when this one is over.
pub(crate) struct Saboteur {
    step: Option<ComposeStep>,
    place: Place,
    project: String,
    deployment: String,
    worktree: PathBuf,
    /// What is put back at the end.
    intact: Vec<(PathBuf, Vec<u8>)>,
    /// What is out of its place, and is put back there at the end.
    aside: Option<PathBuf>,
    /// What is in the way of something, and is not to stay there.
    in_the_way: Option<PathBuf>,
    lock: Option<Lock>,
    has_acted: Arc<AtomicBool>,
}

impl Saboteur {
    /// Does nothing where there is no step to break.
    pub(crate) fn new(step: Option<ComposeStep>, composer: &Composer) -> Self {
        Self {
            step,
            place: composer.place.clone(),
            project: composer.order.project.clone(),
            deployment: composer.order.deployment.clone(),
            worktree: composer.worktree_of(1),
            intact: Vec::new(),
            aside: None,
            in_the_way: None,
            lock: None,
            has_acted: Arc::default(),
        }
    }

    /// Whether the step was broken, once the run is over.
    pub(crate) fn has_acted(&self) -> Arc<AtomicBool> {
        self.has_acted.clone()
    }

    fn break_it(&mut self, step: ComposeStep) -> io::Result<()> {
        match step {
            // Somebody else who deploys.
            ComposeStep::Initializing => {
                let lock = Lock::take(&self.place.lock(), &self.project, "holds it for --fail-at");
                self.lock = Some(lock.map_err(io::Error::other)?);
                Ok(())
            }
            // A file in the place of the mirror.
            ComposeStep::Fetching => {
                let mirror = self.place.mirror();
                if mirror.exists() {
                    self.take_aside(mirror.clone())?;
                }
                fs::write(&mirror, "")?;
                self.in_the_way = Some(mirror);
                Ok(())
            }
            // A branch that somebody deleted; the next fetch brings it again.
            ComposeStep::Resolving => {
                let mirror = self.place.mirror();
                remove(&mirror.join("packed-refs"))?;
                ["heads", "tags"].iter().try_for_each(|kind| {
                    let folder = mirror.join("refs").join(kind);
                    remove(&folder).and_then(|()| fs::create_dir(folder))
                })
            }
            // A file in the place of the worktree.
            ComposeStep::Worktree => {
                fs::create_dir_all(self.place.worktrees())?;
                fs::write(&self.worktree, "")
            }
            // An image that nobody has made.
            ComposeStep::Validating => edit_json(&self.worktree.join("compose.json"), |file| {
                first_service(file, |service| service["image"] = json!("nothing:0"));
            }),
            ComposeStep::Pulling => self.damage_layers(),
            // Half an archive.
            ComposeStep::Starting => names(&self.place.images())?.iter().try_for_each(|layer| {
                let layer = self.place.images().join(layer);
                let bytes = fs::read(&layer)?;
                fs::write(layer, &bytes[..bytes.len() / 2 + 100])
            }),
            // A service that lost its page.
            ComposeStep::HealthCheck => {
                let services = Services::of(&self.place, &self.deployment);
                let service = names(&services.folder())?.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
                fs::remove_file(services.disk(&service).join("page.txt"))
            }
            // Something else where the new file is to be made ready.
            ComposeStep::Traefik => self.block(beside(&self.place.route(&self.project))),
            // A mirror that is none any more.
            ComposeStep::Cleanup => self.take_aside(self.place.mirror().join("HEAD")),
            ComposeStep::Complete => self.block(beside(&self.place.current())),
        }
    }

    /// Layers that were changed on the way: none of them is here, and none as it should be in the registry.
    fn damage_layers(&mut self) -> io::Result<()> {
        let file: Value = read_json(&self.worktree.join("compose.json"))?;
        let index: Index = read_json(&self.place.registry().join(INDEX))?;
        let services = file["services"].as_object().into_iter().flatten();
        let images = services.filter_map(|(_, service)| service["image"].as_str());
        for layer in images.filter_map(|image| index.get(image)?.last()) {
            remove(&self.place.images().join(&layer.sha256))?;
            let path = self.place.registry().join(LAYERS).join(&layer.sha256);
            let bytes = fs::read(&path)?;
            fs::write(&path, [&bytes[..], b"changed"].concat())?;
            self.intact.push((path, bytes));
        }
        Ok(())
    }

    fn take_aside(&mut self, path: PathBuf) -> io::Result<()> {
        fs::rename(&path, aside(&path))?;
        self.aside = Some(path);
        Ok(())
    }

    fn block(&mut self, path: PathBuf) -> io::Result<()> {
        fs::create_dir_all(&path)?;
        self.in_the_way = Some(path);
        Ok(())
    }

    fn repair(&mut self) -> io::Result<()> {
        self.intact.drain(..).try_for_each(|(path, bytes)| fs::write(path, bytes))?;
        self.in_the_way.take().map_or(Ok(()), |path| remove(&path))?;
        self.aside.take().map_or(Ok(()), |path| fs::rename(aside(&path), path))
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

fn first_service(file: &mut Value, edit: impl FnOnce(&mut Value)) {
    if let Some((_, service)) = file["services"].as_object_mut().and_then(|services| services.iter_mut().next()) {
        edit(service);
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        if let Err(error) = self.repair() {
            complain(&format!("--fail-at leaves something broken: {error}"));
        }
    }
}

impl Observer for Saboteur {
    fn step_start(&mut self, _: &Event, start: &StepStart) {
        // Once: a step that is tried again finds the damage as it was.
        let is_now = |step: &ComposeStep| start.step == step.id() && start.attempt == 1;
        let Some(step) = self.step.filter(is_now) else { return };
        match self.break_it(step) {
            Ok(()) => self.has_acted.store(true, Ordering::Release),
            Err(error) => complain(&format!("--fail-at cannot break anything: {error}")),
        }
    }
}
