//! What the steps do.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use step_machine::StepContext;
use step_machine::process::Command;
use step_machine_examples::cli::shown;
use step_machine_examples::disk::{gone, part, read, remove_folder, remove_parts, set_mode, write};
use step_machine_examples::steps::{Archive, Backup, DeployStepHandler, Release, Service, deploy_step};
use step_machine_examples::tally::tally;
use step_machine_examples::{http, instance, template};

use crate::error::{At, DeployError};
use crate::place::{Identity, Place, Swap};
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
        tally(cx);
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
        tally(cx);
        // Where it was there a moment ago and is not any more, `tar` says so.
        let folder = self.place.current().unwrap_or_else(|| self.place.releases().join("nothing"));
        let archive = self.place.backups().join(format!("{}.tar.gz", name(&folder)));
        // The system's `tar`, and not a crate: it is on every system, packs what an administrator unpacks by hand, and
        // says each file as it comes to it.
        let part = part(&archive, cx.attempt());
        cx.command(Command::new("tar").arg("-czvf").arg(&part).arg("-C").arg(&folder).arg(".")).await?;
        // Its configuration is for the owner alone, and so is what it is packed in.
        set_mode(&part, 0o600).at(&part)?;
        fs::rename(&part, &archive).at(&archive)?;
        remove_parts(&archive).at(&archive)?;
        cx.message(shown(&archive).to_string());
        Ok(Backup { folder, archive })
    }

    async fn download(&self, cx: &mut StepContext) -> Result<Archive, DeployError> {
        tally(cx);
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

    async fn undo_download(&self, cx: &mut StepContext, output: Option<&Archive>) -> Result<(), DeployError> {
        let file = self.place.downloads().join(format!("{}-{}.tar.gz", self.identity.app, self.version));
        let part = file.with_extension("part");
        gone(fs::remove_file(&part)).at(part)?;
        // Without an output only a process that died may have come so far.
        if output.is_some() || cx.interrupted() { gone(fs::remove_file(&file)).at(file) } else { Ok(()) }
    }

    async fn extract(&self, cx: &mut StepContext, download: &Archive) -> Result<Release, DeployError> {
        tally(cx);
        let folder = self.free_folder();
        let part = part(&folder, cx.attempt());
        remove_parts(&folder).at(&folder)?;
        fs::create_dir(&part).at(&part)?;
        cx.command(Command::new("tar").arg("-xzvf").arg(&download.file).arg("-C").arg(&part)).await?;
        remove_folder(&folder).at(&folder)?;
        fs::rename(&part, &folder).at(&folder)?;
        remove_parts(&folder).at(&folder)?;
        cx.message(shown(&folder).to_string());
        Ok(Release { folder })
    }

    async fn undo_extract(&self, cx: &mut StepContext, output: Option<&Release>) -> Result<(), DeployError> {
        let folder = output.map_or_else(|| self.free_folder(), |release| release.folder.clone());
        remove_parts(&folder).at(&folder)?;
        // Without an output only a process that died may have come so far.
        if output.is_some() || cx.interrupted() { remove_folder(&folder).at(folder) } else { Ok(()) }
    }

    async fn configure(&self, cx: &mut StepContext, extract: &Release) -> Result<(), DeployError> {
        tally(cx);
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
        tally(cx);
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
        tally(cx);
        let (place, identity) = (&self.place, &self.identity);
        // First: what the undo goes by. An attempt whose process died may have swapped already, and written this before.
        if self.swap(cx)?.is_none() {
            let swap = Swap { run: cx.run().to_string(), folder: place.current(), was_up: place.wanted().exists() };
            write(&place.swap(), &swap).at(place.swap())?;
        }
        service::stop(place, identity).await.map_err(DeployError::Stop)?;
        place.set_current(Some(&extract.folder)).at(place.root())?;
        self.start(&extract.folder).await?;
        cx.message(format!("{} at {}", name(&extract.folder), identity.address));
        Ok(Service { folder: extract.folder.clone(), address: identity.address })
    }

    async fn undo_start_service(&self, cx: &mut StepContext, _: Option<&Service>) -> Result<(), DeployError> {
        let place = &self.place;
        // Without one of this run the step did not come to change anything, or all is taken back already.
        let Some(swap) = self.swap(cx)? else { return Ok(()) };
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
        tally(cx);
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

    /// What this run has taken the place of, if it has come so far.
    fn swap(&self, cx: &StepContext) -> Result<Option<Swap>, DeployError> {
        let swap: Option<Swap> = read(&self.place.swap()).at(self.place.swap())?;
        Ok(swap.filter(|swap| swap.run == cx.run().to_string()))
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
    remove_folder(&backup.folder).at(&backup.folder)?;
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
