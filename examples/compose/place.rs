//! The folder of a project, and what is where in it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use step_machine_examples::cli::{is_journal, remove_journal};
use step_machine_examples::disk::{read, remove, write};

/// The file by which one knows the folder of a project.
const MARK: &str = "project.json";

/// What the folder of a project holds.
const PARTS: [&str; 13] = [
    "routes",
    "router.json",
    "services",
    "worktrees",
    "mirror.git",
    "repository",
    "registry",
    "images",
    "records",
    "current.json",
    "counter",
    "project.lock",
    MARK,
];

/// The folder of a project.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    project: String,
}

impl Place {
    /// The project in `dir`, which need not exist yet.
    pub(crate) fn at(dir: &Path) -> io::Result<Self> {
        // Processes run in folders of their own, so no path may depend on the current one.
        Ok(Self { root: std::path::absolute(dir)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The repository that the example makes where it is given none.
    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    /// The bare repository that everything is fetched into.
    pub(crate) fn mirror(&self) -> PathBuf {
        self.root.join("mirror.git")
    }

    pub(crate) fn worktrees(&self) -> PathBuf {
        self.root.join("worktrees")
    }

    /// The folder that the registry serves.
    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// The folder of what was pulled.
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The folder of the services of all deployments.
    pub(crate) fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    /// The files by which the router leads requests, one a project.
    pub(crate) fn routes(&self) -> PathBuf {
        self.root.join("routes")
    }

    pub(crate) fn route(&self, project: &str) -> PathBuf {
        self.routes().join(format!("{project}.json"))
    }

    /// Where the router listens.
    pub(crate) fn router(&self) -> PathBuf {
        self.root.join("router.json")
    }

    /// What is deployed.
    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("current.json")
    }

    /// What was deployed by a deployment.
    pub(crate) fn record(&self, deployment: &str) -> PathBuf {
        self.root.join("records").join(format!("{deployment}.json"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("project.lock")
    }

    /// Where the traces of failures are kept.
    pub(crate) fn traces(&self) -> PathBuf {
        self.root.join("traces")
    }

    /// The project that lives here, if there is one.
    pub(crate) fn project(&self) -> io::Result<Option<String>> {
        Ok(read::<Mark>(&self.root.join(MARK))?.map(|mark| mark.project))
    }

    /// Whether nothing here could be somebody else's.
    pub(crate) fn is_ours(&self) -> io::Result<bool> {
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                let may_be = |name: &std::ffi::OsStr| name == "traces" || name == "registry" || is_journal(name);
                Ok(self.root.join(MARK).exists() || names.all(|name| name.is_ok_and(|name| may_be(&name))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder that of `project`.
    pub(crate) fn claim(&self, project: &str) -> io::Result<()> {
        write(&self.root.join(MARK), &Mark { project: project.to_owned() })
    }

    /// The id of a new deployment of `project`: no two have the same, whatever else runs.
    pub(crate) fn next_deployment(&self, project: &str) -> io::Result<String> {
        let path = self.root.join("counter");
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let number = text.trim().parse().unwrap_or(0_u32) + 1;
        file.rewind()?;
        // Always so long, so that a process that dies here leaves the old number or the new one.
        file.write_all(format!("{number:010}\n").as_bytes())?;
        Ok(format!("{project}-{number}"))
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

/// The names in a folder, in order; none where there is no folder.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().display().to_string());
    }
    names.sort();
    Ok(names)
}
