//! The instance: a server process on a loopback port, with a folder as its disk.
//!
//! It answers one request a connection: it greets as an SSH server does, reads one line of JSON with the token that its
//! user data gave it, and answers with one line.

mod client;
mod firewall;
mod guest;
mod launch;
mod server;

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use client::{AskError, Client};
pub use guest::index_packages;
pub use launch::{start, stop};
pub use server::serve;

/// What an instance is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The secret that every request must know.
    pub token: String,
    /// Its disk.
    pub folder: PathBuf,
    /// Where its packages come from.
    pub mirror: PathBuf,
    /// How long its first boot takes.
    pub boot_seconds: u64,
    /// What its first boot writes.
    pub files: Vec<BootFile>,
}

/// A file that the first boot writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFile {
    /// Its path on the instance's disk.
    pub path: PathBuf,
    /// Its text.
    pub content: String,
}

impl UserData {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    }

    /// The file by which a running server tells that it listens.
    fn listening(&self) -> PathBuf {
        self.folder.join("listening")
    }
}

/// What an instance can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Answer when the first boot has finished.
    FirstBoot,
    /// Install a package from the mirror.
    Install {
        /// Its name.
        package: String,
    },
    /// Set how security updates are installed.
    SecurityUpdates {
        /// The text of the configuration.
        config: String,
    },
    /// Replace the rules of the firewall.
    Firewall {
        /// The rules, one a line.
        rules: Vec<String>,
    },
    /// End.
    Shutdown,
}

/// A request as it goes over the line.
#[derive(Serialize, Deserialize)]
struct Ask {
    token: String,
    #[serde(flatten)]
    request: Request,
}

/// The answer: a text for people, or why not.
type Answer = Result<String, String>;

/// A secret that nobody can guess.
pub fn new_token() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> io::Result<u16> {
    let bound = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // Below those that the system gives to connections: one of these may be gone before it is used.
    let drawn = (0..50).map(|_| u16::try_from(10_000 + random() % 22_000).unwrap_or_default());
    match drawn.map(bound).find_map(Result::ok) {
        Some(listener) => Ok(listener.local_addr()?.port()),
        None => Ok(bound(0)?.local_addr()?.port()),
    }
}

/// The one source of the operating system's randomness that the standard library has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("random")
}
