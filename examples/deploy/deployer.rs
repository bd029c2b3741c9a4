//! What the steps do.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use step_machine::StepContext;
use step_machine::process::Command;
use step_machine_examples::cli::shown;
use step_machine_examples::steps::{Archive, Backup, DeployStepHandler, Release, Service, deploy_step};
use step_machine_examples::{instance, template};

use crate::error::{At, DeployError};
use crate::http;
use crate::place::{Identity, Place, Swap, gone, read, set_mode, write};
use crate::registry::Manifest;
use crate::service;

/// Puts one version in the place of another one.
pub(crate) struct Deployer {
    pub(crate) place: Place,
    pub(crate) identity: Identity,
    pub(crate) version: String,
    /// The path of the URL that is asked whether the service is well.
    pub(crate) health_check: String,
    pub(crate) registry: std::net::SocketAddr,
}

#[derive(Serialize)]
struct Variables<'a> {
    app: &'a str,
    version: &'a str,
    address: std::net::SocketAddr,
    token: &'a str,
    warm_up_ms: u64,
}

impl DeployStepHandler for Deployer {
    type Error = DeployError;

    async fn validate_environment(&self, cx: &mut StepContext) -> Result<(), DeployError> {
        let tar = cx.command(Command::new("tar").arg("--version")).await?;
        cx.message(tar.stdout().end().lines().next().unwrap_or_default().to_owned());
        for folder in [self.place.releases(), self.place.backups(), self.place.downloads()] {
            fs::create_dir_all(&folder).at(folder)?;
        }
        self.entry().await.map(|_| ())
    }

    async fn skip_backup_current_version(&self, _: &mut StepContext) -> Result<Option<String>, DeployError> {
        let is_first = self.place.current().is_none();
        Ok(is_first.then(|| "this is the first deployment".to_owned()))
    }

    async fn backup_current_version(&self, cx: &mut StepContext) -> Result<Backup, DeployError> {
        // Where it was there a moment ago and is not any more, `tar` says so.
        let folder = self.place.current().unwrap_or_else(|| self.place.releases().join("nothing"));
        let archive = self.place.backups().join(format!("{}.tar.gz", name(&folder)));
        // The system's `tar`, and not a crate: it is on every system, packs what an administrator unpacks by hand, and
        // says each file as it comes to it.
        cx.command(Command::new("tar").arg("-czvf").arg(&archive).arg("-C").arg(&folder).arg(".")).await?;
        // Its configuration is for the owner alone, and so is what it is packed in.
        set_mode(&archive, 0o600).at(&archive)?;
        cx.message(shown(&archive).to_string());
        Ok(Backup { folder, archive })
    }

    async fn download(&self, cx: &mut StepContext) -> Result<Archive, DeployError> {
        let entry = self.entry().await?;
        let file = self.place.downloads().join(&entry.file);
        let part = file.with_extension("part");
        let checksum = self.fetch(&entry.file, &part, cx).await?;
        if checksum != entry.sha256 {
            return Err(DeployError::Damaged { file: entry.file, found: checksum, listed: entry.sha256 });
        }
        fs::rename(&part, &file).at(&file)?;
        cx.message(format!("checksum {checksum:.12}.."));
        Ok(Archive { file, checksum })
    }

    async fn undo_download(&self, _: &mut StepContext, output: Option<&Archive>) -> Result<(), DeployError> {
        let file = match output {
            Some(archive) => archive.file.clone(),
            None => self.place.downloads().join(format!("{}-{}.tar.part", self.identity.app, self.version)),
        };
        gone(fs::remove_file(&file)).at(file)
    }

    async fn extract(&self, cx: &mut StepContext, download: &Archive) -> Result<Release, DeployError> {
        let (part, folder) = (self.part(), self.free_folder());
        gone(fs::remove_dir_all(&part)).at(&part)?;
        fs::create_dir(&part).at(&part)?;
        cx.command(Command::new("tar").arg("-xzvf").arg(&download.file).arg("-C").arg(&part)).await?;
        gone(fs::remove_dir_all(&folder)).at(&folder)?;
        fs::rename(&part, &folder).at(&folder)?;
        cx.message(shown(&folder).to_string());
        Ok(Release { folder })
    }

    async fn undo_extract(&self, _: &mut StepContext, output: Option<&Release>) -> Result<(), DeployError> {
        let folder = output.map_or_else(|| self.part(), |release| release.folder.clone());
        gone(fs::remove_dir_all(&folder)).at(folder)
    }

    async fn configure(&self, cx: &mut StepContext, extract: &Release) -> Result<(), DeployError> {
        let manifest = manifest(&extract.folder)?;
        let Identity { app, address, token } = &self.identity;
        let warm_up_ms = manifest.warm_up_ms;
        let variables = Variables { app, version: &self.version, address: *address, token, warm_up_ms };
        let config = extract.folder.join("config.json");
        template::render_to(&extract.folder, "config.json.j2", &variables, &config)?;
        cx.message(shown(&config).to_string());
        Ok(())
    }

    async fn set_permissions(&self, cx: &mut StepContext, extract: &Release) -> Result<(), DeployError> {
        let modes = manifest(&extract.folder)?.modes;
        for (file, mode) in &modes {
            let path = extract.folder.join(file);
            let set = u32::from_str_radix(mode, 8).map_err(std::io::Error::other);
            let set = set.and_then(|mode| set_mode(&path, mode));
            set.map_err(|source| DeployError::Rights { path, mode: mode.clone(), source })?;
        }
        cx.message(format!("{} rights", modes.len()));
        Ok(())
    }

    async fn start_service(&self, cx: &mut StepContext, extract: &Release) -> Result<Service, DeployError> {
        let (place, identity) = (&self.place, &self.identity);
        // First: what the undo goes by.
        let was_up = place.wanted().exists();
        let swap = Swap { run: cx.run().to_string(), folder: place.current(), was_up };
        write(&place.swap(), &swap).at(place.swap())?;
        service::stop(place, identity).await.map_err(DeployError::Stop)?;
        place.set_current(Some(&extract.folder)).at(place.root())?;
        self.start(&extract.folder).await?;
        cx.message(format!("{} at {}", name(&extract.folder), identity.address));
        Ok(Service { folder: extract.folder.clone(), address: identity.address })
    }

    async fn undo_start_service(&self, cx: &mut StepContext, _: Option<&Service>) -> Result<(), DeployError> {
        let place = &self.place;
        let swap: Option<Swap> = read(&place.swap()).at(place.swap())?;
        // Without one of this run the step did not come to change anything.
        let Some(swap) = swap.filter(|swap| swap.run == cx.run().to_string()) else { return Ok(()) };
        service::stop(place, &self.identity).await.map_err(DeployError::Stop)?;
        // A backup that cannot be read is as good as none: the folder is still there.
        if let Ok(Some(backup)) = cx.output(deploy_step::BackupCurrentVersion) {
            restore(&backup, cx).await?;
        }
        place.set_current(swap.folder.as_deref()).at(place.root())?;
        if let Some(folder) = swap.folder.filter(|_| swap.was_up) {
            self.start(&folder).await?;
            cx.message(format!("{} runs again", name(&folder)));
        }
        gone(fs::remove_file(place.swap())).at(place.swap())
    }

    async fn health_check(&self, cx: &mut StepContext, start_service: &Service) -> Result<(), DeployError> {
        let url = format!("http://{}{}", start_service.address, self.health_check);
        let answer = http::get(start_service.address, "GET", &self.health_check).await;
        let answer = answer.map_err(|source| DeployError::Silent { url: url.clone(), source })?;
        if answer.status != 200 {
            return Err(DeployError::Unwell { url, status: answer.status, text: answer.line() });
        }
        cx.message(answer.line());
        Ok(())
    }
}

impl Deployer {
    async fn start(&self, folder: &Path) -> Result<(), DeployError> {
        let started = service::start(&self.place, &self.identity, folder, &instance::new_token()).await;
        started.map_err(|source| DeployError::Start { folder: folder.to_owned(), source })
    }

    /// Where the archive is unpacked to.
    fn part(&self) -> PathBuf {
        self.place.releases().join(format!(".{}.part", self.version))
    }

    /// The folder of the new release: not the one that the service runs from.
    fn free_folder(&self) -> PathBuf {
        let folder = self.place.releases().join(&self.version);
        let again = self.place.releases().join(format!("{}-again", self.version));
        if self.place.current().is_some_and(|current| current == folder) { again } else { folder }
    }
}

/// Puts the folder back as it was when it was packed.
async fn restore(backup: &Backup, cx: &mut StepContext) -> Result<(), DeployError> {
    gone(fs::remove_dir_all(&backup.folder)).at(&backup.folder)?;
    fs::create_dir_all(&backup.folder).at(&backup.folder)?;
    // With the rights that it had.
    cx.command(Command::new("tar").arg("-xpzvf").arg(&backup.archive).arg("-C").arg(&backup.folder)).await?;
    Ok(())
}

fn manifest(folder: &Path) -> Result<Manifest, DeployError> {
    let path = folder.join("release.json");
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    read(&path).and_then(|manifest| manifest.ok_or_else(missing)).at(path)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().display().to_string()
}
