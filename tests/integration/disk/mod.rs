//! A disk that is full, loses writes or hangs, for the journal of another process: what stands between that and the C
//! library, and what it tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library, built once by the C compiler that the project needs anyway.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/disk/shim.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Another test run may load the one that is there.
        let (built, shim) = (folder.join(format!("shim-{}.so", std::process::id())), folder.join("shim.so"));
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&built).arg(source).arg("-ldl");
        let output = cc.output().expect("a C compiler, which also SQLite is built by; name one in CC");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(built, &shim).unwrap();
        shim
    })
}

/// What goes wrong, and when; each number counts from 1, for each process anew.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// From this call on that needs room there is none.
    pub(crate) full_from: Option<usize>,
    /// The number of the error by which it is told, where that is another one than that of a full disk.
    pub(crate) error: Option<usize>,
    /// The first write without room still writes half.
    pub(crate) is_torn: bool,
    /// Only what makes a file longer needs room, as on most file systems.
    pub(crate) only_growth: bool,
    /// This wait for the disk fails, and no other.
    pub(crate) unsynced_at: Option<usize>,
    /// As long as there is a file with the name of the database and the end `broken`, each wait for the log fails.
    pub(crate) may_break: bool,
    /// The process stops within this wait for the disk.
    pub(crate) stopped_at: Option<usize>,
}

/// The disk of the files whose paths begin with `files`, and what was asked of it.
pub(crate) struct Disk {
    files: PathBuf,
    log: PathBuf,
}

/// A call, as the disk saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) what: String,
    pub(crate) size: usize,
    pub(crate) path: PathBuf,
    pub(crate) has_failed: bool,
}

impl Disk {
    /// That of a database and of what SQLite and the journal put beside it. Its folder has to be there.
    pub(crate) fn of(database: &Path, log: &Path) -> Self {
        let folder = fs::canonicalize(database.parent().unwrap()).unwrap();
        Self { files: folder.join(database.file_name().unwrap()), log: log.to_owned() }
    }

    /// Has a command work on it.
    pub(crate) fn under(&self, command: &mut Command, faults: Faults) {
        let _ = fs::remove_file(&self.log);
        command.env("LD_PRELOAD", shim()).env("DISK_FILES", &self.files).env("DISK_LOG", &self.log);
        let numbers = [
            ("DISK_FULL", faults.full_from),
            ("DISK_ERROR", faults.error),
            ("DISK_TORN", faults.is_torn.then_some(1)),
            ("DISK_GROWTH", faults.only_growth.then_some(1)),
            ("DISK_UNSYNCED", faults.unsynced_at),
            ("DISK_STOPPED", faults.stopped_at),
        ];
        let broken = faults.may_break.then(|| self.files.with_extension("broken"));
        command.env_remove("DISK_BROKEN").envs(broken.map(|file| ("DISK_BROKEN", file)));
        for (name, number) in numbers {
            command.env_remove(name).envs(number.map(|number| (name, number.to_string())));
        }
    }

    /// What the last command asked of it.
    pub(crate) fn calls(&self) -> Vec<Call> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().map(Call::of).collect()
    }
}

impl Call {
    fn of(line: &str) -> Self {
        let (what, rest) = line.split_once(' ').unwrap();
        let (size, path) = rest.split_once(' ').unwrap();
        let (path, has_failed) = path.strip_suffix(" failed").map_or((path, false), |path| (path, true));
        Self { what: what.to_owned(), size: size.parse().unwrap(), path: path.into(), has_failed }
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.what == "sync"
    }
}
