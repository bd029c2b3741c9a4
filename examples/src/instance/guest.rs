//! What an instance does to its own disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::firewall::{Protocol, Rule};
use super::{Answer, BootFile, Request, UserData};
use crate::site;

/// The inside of an instance.
pub(super) struct Guest {
    order: UserData,
    boot: Mutex<Option<Answer>>,
    booted: Condvar,
    /// One request changes the disk at a time.
    disk: Mutex<()>,
}

impl Guest {
    pub(super) fn new(order: UserData) -> Self {
        Self { order, boot: Mutex::new(None), booted: Condvar::new(), disk: Mutex::new(()) }
    }

    pub(super) fn order(&self) -> &UserData {
        &self.order
    }

    /// The first boot: takes its time and writes the files of the user data.
    pub(super) fn boot(&self) {
        std::thread::sleep(Duration::from_secs(self.order.boot_seconds));
        let outcome = self.order.files.iter().try_for_each(|file| self.write_boot_file(file));
        let answer = outcome.map(|()| format!("{} files written", self.order.files.len()));
        *self.boot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.booted.notify_all();
    }

    pub(super) fn work(&self, request: Request) -> Answer {
        if let Request::FirstBoot = request {
            return self.wait_for_boot();
        }
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            Request::Install { package } => self.install(&package),
            Request::SecurityUpdates { config } => self.set_security_updates(&config),
            Request::Firewall { rules } => self.set_firewall(&rules),
            Request::FirstBoot | Request::Shutdown => Ok(String::new()),
        }
    }

    fn wait_for_boot(&self) -> Answer {
        let boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        let boot = self.booted.wait_while(boot, |boot| boot.is_none());
        boot.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| Ok(String::new()))
    }

    fn write_boot_file(&self, file: &BootFile) -> Result<(), String> {
        let written = site::write(&self.path(&file.path), &file.content);
        written.map_err(|error| format!("cannot write {}: {error}", file.path.display()))
    }

    fn install(&self, package: &str) -> Answer {
        let index = fs::read_to_string(self.order.mirror.join("index.json"));
        let index = index.and_then(|text| Ok(serde_json::from_str(&text)?));
        let mut index: Index = index.map_err(|error| format!("no package index: {error}"))?;
        let listed = index.remove(package).ok_or_else(|| format!("no package {package}"))?;
        let payload = fs::read(self.order.mirror.join(package));
        let payload = payload.map_err(|error| format!("cannot fetch package {package}: {error}"))?;
        let found = checksum(&payload);
        if found != listed {
            return Err(format!("package {package} is damaged: its checksum is {found:.12}.., not {listed:.12}.."));
        }
        self.unpack(package, &payload, &listed).map_err(|error| format!("cannot unpack {package}: {error}"))?;
        Ok(format!("{package} installed, checksum {listed:.12}.."))
    }

    /// Puts the program in its place and into the list of what is installed.
    fn unpack(&self, package: &str, payload: &[u8], checksum: &str) -> io::Result<()> {
        let program = self.path(Path::new("usr/bin")).join(package);
        fs::create_dir_all(program.parent().unwrap_or(&self.order.folder))?;
        fs::write(program, payload)?;
        let list = self.path(Path::new("var/lib/packages.json"));
        let mut installed: Index = match fs::read_to_string(&list) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(_) => Index::new(),
        };
        installed.insert(package.to_owned(), checksum.to_owned());
        site::write(&list, &serde_json::to_string_pretty(&installed)?)
    }

    fn set_security_updates(&self, config: &str) -> Answer {
        for (number, line) in (1..).zip(config.lines()) {
            check_setting(line).map_err(|fault| format!("line {number}: {fault}: {line}"))?;
        }
        self.put("etc/apt/apt.conf.d/50unattended-upgrades", config)?;
        Ok(format!("{} settings", config.lines().count()))
    }

    /// Loads the rules first: a firewall that is broken lets nobody in to repair it.
    fn set_firewall(&self, rules: &[String]) -> Answer {
        let loaded: Vec<Rule> = rules.iter().map(|rule| Rule::parse(rule)).collect::<Result<_, _>>()?;
        if !loaded.contains(&Rule { allow: true, port: self.order.port, protocol: Protocol::Tcp }) {
            return Err(format!("the rules lock everybody out: nothing allows {}/tcp", self.order.port));
        }
        self.put("etc/firewall.rules", &(rules.join("\n") + "\n"))?;
        let open = loaded.iter().filter(|rule| rule.allow).count();
        Ok(format!("{} rules, {open} ports open", loaded.len()))
    }

    fn put(&self, path: &str, text: &str) -> Result<(), String> {
        site::write(&self.path(Path::new(path)), text).map_err(|error| format!("cannot write {path}: {error}"))
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.order.folder.join("root").join(path)
    }
}

/// Packages with their checksums.
type Index = BTreeMap<String, String>;

/// Writes the index of the package mirror in `folder`.
pub fn index_packages(folder: &Path) -> io::Result<()> {
    let mut index = Index::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        index.insert(entry.file_name().display().to_string(), checksum(&fs::read(entry.path())?));
    }
    site::write(&folder.join("index.json"), &serde_json::to_string_pretty(&index)?)
}

fn checksum(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Checks one line of an apt configuration: `Some::Key "value";`
fn check_setting(line: &str) -> Result<(), &'static str> {
    let (key, value) = line.split_once(' ').ok_or("not a setting")?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix("\";"));
    let value = value.ok_or("the value must be quoted and end in a semicolon")?;
    if key.ends_with("-Time") && !is_time(value) { Err("not a time of day") } else { Ok(()) }
}

fn is_time(text: &str) -> bool {
    let below = |part: &str, limit| part.len() == 2 && part.parse::<u8>().is_ok_and(|number| number < limit);
    text.split_once(':').is_some_and(|(hour, minute)| below(hour, 24) && below(minute, 60))
}
