//! The folder that is deployed to, and what is where in it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use step_machine_examples::cli::is_journal;
use step_machine_examples::disk::{gone, read, set_mode, write};
use step_machine_examples::instance::{free_port, new_token};

/// The folder that is deployed to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

/// What stays the same from version to version, in `deploy.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) app: String,
    pub(crate) address: SocketAddr,
    /// Who knows it may end the service.
    pub(crate) token: String,
}

/// What the new version took the place of, in `swap.json`: what the undo of the swap goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    /// The run that swapped.
    pub(crate) run: String,
    /// The release that was current.
    pub(crate) folder: Option<PathBuf>,
    /// Whether its service was running.
    pub(crate) was_up: bool,
}

impl Place {
    pub(crate) fn at(dir: &Path) -> io::Result<Self> {
        // The service runs in a folder of its own, so no path may depend on the current one.
        Ok(Self { root: std::path::absolute(dir)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    pub(crate) fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    pub(crate) fn traces(&self) -> PathBuf {
        self.root.join("traces")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("service.log")
    }

    /// The release that the service is to run. The service ends when this file says another one, or goes.
    pub(crate) fn wanted(&self) -> PathBuf {
        self.root.join("wanted.json")
    }

    pub(crate) fn swap(&self) -> PathBuf {
        self.root.join("swap.json")
    }

    fn identity_file(&self) -> PathBuf {
        self.root.join("deploy.json")
    }

    fn link(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The release that is deployed.
    pub(crate) fn current(&self) -> Option<PathBuf> {
        read_link(&self.link()).ok().filter(|folder| folder.is_dir())
    }

    /// Makes `folder` the release that is deployed, in one move; `None` for no release at all.
    pub(crate) fn set_current(&self, folder: Option<&Path>) -> io::Result<()> {
        let Some(folder) = folder else { return gone(fs::remove_file(self.link())) };
        let new = self.root.join("current.new");
        gone(fs::remove_file(&new))?;
        write_link(folder, &new)?;
        fs::rename(new, self.link())
    }

    /// What is known from an earlier deployment.
    pub(crate) fn identity(&self) -> io::Result<Option<Identity>> {
        read(&self.identity_file())
    }

    /// Whether nothing here could be somebody else's: something was deployed before, or there is only what was released.
    pub(crate) fn is_ours(&self) -> io::Result<bool> {
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                Ok(self.identity_file().exists()
                    || names.all(|name| name.is_ok_and(|name| name == "registry" || is_journal(&name))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The identity of `app`, a new one where there is none.
    pub(crate) fn identify(&self, app: &str) -> io::Result<Identity> {
        if let Some(identity) = self.identity()? {
            return Ok(identity);
        }
        let address = (Ipv4Addr::LOCALHOST, free_port()?).into();
        let identity = Identity { app: app.to_owned(), address, token: new_token() };
        write(&self.identity_file(), &identity)?;
        set_mode(&self.identity_file(), 0o600)?;
        Ok(identity)
    }
}

#[cfg(unix)]
fn write_link(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(unix)]
fn read_link(link: &Path) -> io::Result<PathBuf> {
    fs::read_link(link)
}

// A link takes special rights elsewhere; a file that names the folder does as well.
#[cfg(not(unix))]
fn write_link(target: &Path, link: &Path) -> io::Result<()> {
    fs::write(link, target.display().to_string())
}

#[cfg(not(unix))]
fn read_link(link: &Path) -> io::Result<PathBuf> {
    fs::read_to_string(link).map(PathBuf::from)
}
