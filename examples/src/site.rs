//! The folder that an environment lives in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::{is_journal, remove_journal};
use crate::instance;

/// What a new site contains.
const ASSETS: [(&str, &str); 7] = [
    ("templates/tofu/main.tf.json.j2", include_str!("../assets/templates/tofu/main.tf.json.j2")),
    ("templates/tofu/user-data.json.j2", include_str!("../assets/templates/tofu/user-data.json.j2")),
    ("templates/ansible/inventory.json.j2", include_str!("../assets/templates/ansible/inventory.json.j2")),
    ("templates/ansible/variables.json.j2", include_str!("../assets/templates/ansible/variables.json.j2")),
    (
        "templates/ansible/security-updates.conf.j2",
        include_str!("../assets/templates/ansible/security-updates.conf.j2"),
    ),
    ("packages/docker", include_str!("../assets/packages/docker")),
    ("packages/docker-compose", include_str!("../assets/packages/docker-compose")),
];

/// The folders that belong to one run and go with it. The traces and the environment stay.
const PARTS: [&str; 5] = ["build", "instance", "bin", "templates", "packages"];

/// The folder that an environment lives in, and what is where in it.
#[derive(Debug, Clone)]
pub struct Site {
    root: PathBuf,
}

impl Site {
    /// The site in `dir`, which need not exist yet.
    pub fn at(dir: &Path) -> io::Result<Self> {
        // The server and the commands run in folders of their own, so no path may depend on the current one.
        Ok(Self { root: std::path::absolute(dir)? })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is known of the environment between two commands.
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// The templates.
    pub fn templates(&self) -> PathBuf {
        self.root.join("templates")
    }

    /// What is rendered from the templates.
    pub fn build(&self) -> PathBuf {
        self.root.join("build")
    }

    /// Where `tofu` works.
    pub fn tofu(&self) -> PathBuf {
        self.build().join("tofu")
    }

    /// What the instance is to be. It lives as long as this file.
    pub fn user_data(&self) -> PathBuf {
        self.tofu().join("user-data.json")
    }

    /// What the configuration of the instance works with.
    pub fn ansible(&self) -> PathBuf {
        self.build().join("ansible")
    }

    /// The disk of the instance.
    pub fn instance(&self) -> PathBuf {
        self.root.join("instance")
    }

    /// The package mirror.
    pub fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// The `tofu` that is run.
    pub fn tofu_program(&self) -> PathBuf {
        self.root.join("bin").join(format!("tofu{}", std::env::consts::EXE_SUFFIX))
    }

    /// Where the traces of failures are kept.
    pub fn traces(&self) -> PathBuf {
        self.root.join("traces")
    }

    /// Whether nothing here could be somebody else's: there is an environment, or nothing but the traces and the journal
    /// of one.
    pub fn is_ours(&self) -> io::Result<bool> {
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                Ok(self.environment().exists()
                    || names.all(|name| name.is_ok_and(|name| name == "traces" || is_journal(&name))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(at(&self.root, error)),
        }
    }

    /// Makes the folder ready for a new instance, in place of one that may be there. `tofu` is the program to use.
    pub fn prepare(&self, tofu: &Path) -> io::Result<()> {
        self.clear()?;
        for (path, text) in ASSETS {
            write(&self.root.join(path), text)?;
        }
        instance::index_packages(&self.packages())?;
        let program = self.tofu_program();
        fs::create_dir_all(program.parent().unwrap_or(&self.root))?;
        link(tofu, &program)
    }

    /// Ends the instance, if there is one, and removes everything that belongs to it.
    pub fn clear(&self) -> io::Result<()> {
        instance::stop(&self.user_data())?;
        for part in PARTS {
            match fs::remove_dir_all(self.root.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// [`clear`](Self::clear), and removes the environment itself with the journal of its runs; `false` where there is
    /// none. The traces stay.
    pub fn destroy(&self) -> io::Result<bool> {
        if !self.environment().exists() {
            return Ok(false);
        }
        self.clear()?;
        fs::remove_file(self.environment())?;
        remove_journal(&self.root)?;
        // Fails where traces are left in it.
        let _ = fs::remove_dir(&self.root);
        Ok(true)
    }
}

/// Writes a file, and the folders above it where they are missing.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| at(folder, error))?;
    }
    fs::write(path, text).map_err(|error| at(path, error))
}

/// Writes a file that is there as a whole or not at all, whenever this process dies.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    write(Path::new(&new), text)?;
    fs::rename(new, path).map_err(|error| at(path, error))
}

/// An error with the path that it is about.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(unix)]
fn link(program: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(program, link)
}

// A link takes special rights elsewhere; a copy does as well.
#[cfg(not(unix))]
fn link(program: &Path, copy: &Path) -> io::Result<()> {
    fs::copy(program, copy).map(|_| ())
}
