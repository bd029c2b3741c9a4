//! `--fail-at STEP-ID`: breaks what a step works with, so that it fails by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use step_machine::event::{Event, StepStart};
use step_machine::{Observer, Workflow};
use step_machine_examples::cli::complain;
use step_machine_examples::damage::{append, edit_json};
use step_machine_examples::steps::DeployStep;

use crate::deployer::Deployer;
use crate::place::Place;
use crate::registry::INDEX;

/// Breaks one thing when the step starts. What is there for other runs too is repaired when this one is over.
pub(crate) struct Saboteur {
    step: Option<DeployStep>,
    place: Place,
    app: String,
    version: String,
    /// What is put back at the end.
    intact: Option<(PathBuf, Vec<u8>)>,
    has_acted: Arc<AtomicBool>,
}

impl Saboteur {
    /// Does nothing where there is no step to break.
    pub(crate) fn new(step: Option<DeployStep>, deployer: &Deployer) -> Self {
        let (place, app, version) = (deployer.place.clone(), deployer.identity.app.clone(), deployer.version.clone());
        Self { step, place, app, version, intact: None, has_acted: Arc::default() }
    }

    /// Whether the step was broken, once the run is over.
    pub(crate) fn has_acted(&self) -> Arc<AtomicBool> {
        self.has_acted.clone()
    }

    fn break_it(&mut self, step: DeployStep) -> io::Result<()> {
        let (archive, registry) = (format!("{}-{}.tar.gz", self.app, self.version), self.place.registry());
        match step {
            // A release that somebody has withdrawn.
            DeployStep::ValidateEnvironment => {
                let index = self.keep(&registry.join(INDEX))?;
                edit_json(&index, |index| {
                    index[&self.app].as_object_mut().and_then(|versions| versions.remove(&self.version));
                })
            }
            // A file where the folder of the backups should be.
            DeployStep::BackupCurrentVersion => {
                fs::rename(self.place.backups(), self.backups_aside())?;
                fs::write(self.place.backups(), "")
            }
            // An archive that was changed on the way.
            DeployStep::Download => {
                let archive = self.keep(&registry.join(archive))?;
                let bytes = fs::read(&archive)?;
                fs::write(archive, [&bytes[..], b"changed"].concat())
            }
            // Half an archive.
            DeployStep::Extract => {
                let archive = self.place.downloads().join(archive);
                let bytes = fs::read(&archive)?;
                fs::write(archive, &bytes[..bytes.len() / 2])
            }
            // A variable that nobody sets.
            DeployStep::Configure => append(&self.release("config.json.j2")?, "{{ database }}"),
            // A file that went missing.
            DeployStep::SetPermissions => edit_json(&self.release("release.json")?, |manifest| {
                manifest["modes"]["public/orders"] = json!("640");
            }),
            // A page that went missing.
            DeployStep::StartService => fs::remove_file(self.release("page.html.j2")?),
            // A page that shows what is not there.
            DeployStep::HealthCheck => append(&self.release("page.html.j2")?, "{{ stock }}\n"),
        }
    }

    /// A file of the new release, which is the one that was unpacked last.
    fn release(&self, file: &str) -> io::Result<PathBuf> {
        let again = self.place.releases().join(format!("{}-again", self.version));
        let current = self.place.current();
        let folder = self.place.releases().join(&self.version);
        let is_current = current.is_some_and(|current| current == folder);
        let path = if is_current { again } else { folder }.join(file);
        if path.exists() { Ok(path) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn keep(&mut self, path: &Path) -> io::Result<PathBuf> {
        self.intact = Some((path.to_owned(), fs::read(path)?));
        Ok(path.to_owned())
    }

    fn backups_aside(&self) -> PathBuf {
        self.place.backups().with_extension("aside")
    }

    fn repair(&mut self) -> io::Result<()> {
        if let Some((path, intact)) = self.intact.take() {
            fs::write(path, intact)?;
        }
        if self.backups_aside().exists() {
            fs::remove_file(self.place.backups())?;
            fs::rename(self.backups_aside(), self.place.backups())?;
        }
        Ok(())
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        if let Err(error) = self.repair() {
            complain(&format!("--fail-at leaves something broken: {error}"));
        }
    }
}

/// The step at whose start the damage is done.
fn moment(step: DeployStep) -> DeployStep {
    match step {
        // The service reads its page when it starts, and shows it when it is asked.
        DeployStep::HealthCheck => DeployStep::StartService,
        step => step,
    }
}

impl Observer for Saboteur {
    fn step_start(&mut self, _: &Event, start: &StepStart) {
        // Once: a step that is tried again finds the damage as it was.
        let is_now = |step: &DeployStep| start.step == moment(*step).id() && start.attempt == 1;
        let Some(step) = self.step.filter(is_now) else { return };
        match self.break_it(step) {
            Ok(()) => self.has_acted.store(true, Ordering::Release),
            Err(error) => complain(&format!("--fail-at cannot break anything: {error}")),
        }
    }
}
