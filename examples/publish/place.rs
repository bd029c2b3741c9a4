//! The folder of the platform, and what is where in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use step_machine_examples::cli::{is_journal, remove_journal};
use step_machine_examples::disk::{read_json, remove, write_json};

/// The file by which one knows the folder of a platform.
const MARK: &str = "platform.json";

/// What the folder of a platform holds.
const PARTS: [&str; 7] = ["routes.json", "router.json", "releases", "containers", "images", "sources", MARK];

/// The folder of the platform.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    /// The platform in `dir`, which need not exist yet.
    pub(crate) fn at(dir: &Path) -> io::Result<Self> {
        // Processes run in folders of their own, so no path may depend on the current one.
        Ok(Self { root: std::path::absolute(dir)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What the requests for each application are led to.
    pub(crate) fn routes(&self) -> PathBuf {
        self.root.join("routes.json")
    }

    /// Where the router listens.
    pub(crate) fn router(&self) -> PathBuf {
        self.root.join("router.json")
    }

    /// The folder of the releases of `app`.
    pub(crate) fn releases(&self, app: &str) -> PathBuf {
        self.root.join("releases").join(app)
    }

    /// The folder of a container.
    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.root.join("containers").join(name)
    }

    /// The folder of an image.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.root.join("images").join(name.replace(':', "-"))
    }

    /// What was brought here for a publication.
    pub(crate) fn source(&self, publication: &str) -> PathBuf {
        self.root.join("sources").join(publication)
    }

    /// Where the traces of failures are kept.
    pub(crate) fn traces(&self) -> PathBuf {
        self.root.join("traces")
    }

    /// Whether nothing here could be somebody else's.
    pub(crate) fn is_ours(&self) -> io::Result<bool> {
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                Ok(self.root.join(MARK).exists()
                    || names.all(|name| name.is_ok_and(|name| name == "traces" || is_journal(&name))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The number of a new publication: no two have the same.
    pub(crate) fn next_number(&self) -> io::Result<u32> {
        fs::create_dir_all(&self.root)?;
        let mark = self.root.join(MARK);
        let last: u32 = if mark.exists() { read_json(&mark)? } else { 0 };
        write_json(&mark, &(last + 1))?;
        Ok(last + 1)
    }

    /// Removes everything but the traces; `false` where there is nothing. What runs ends with its folder.
    pub(crate) fn clear(&self) -> io::Result<bool> {
        if !self.root.join(MARK).exists() {
            return Ok(false);
        }
        PARTS.iter().try_for_each(|part| remove(&self.root.join(part)))?;
        remove_journal(&self.root)?;
        // Fails where traces are left in it.
        let _ = fs::remove_dir(&self.root);
        Ok(true)
    }
}
