//! The registry: a folder of releases with their checksums, and a server for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Component, Path};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use step_machine_examples::site;

use crate::http::{self, Answer};
use crate::place::{Place, gone, read, write};

/// The name of the file in which all releases stand.
pub(crate) const INDEX: &str = "index.json";

/// How large the catalogue of a release is, so that there is something to download.
const CATALOGUE: usize = 384 * 1024;

/// All releases, by application and version.
pub(crate) type Index = BTreeMap<String, BTreeMap<String, Entry>>;

/// A release in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) sha256: String,
}

/// What a release is like.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Nature {
    /// How long its service takes to get ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t)]
    pub(crate) warm_up: u16,
    /// Its page has a fault, so that its service answers 500
    #[arg(long)]
    pub(crate) broken: bool,
    /// Its page is missing, so that its service dies at its start
    #[arg(long)]
    pub(crate) dies: bool,
}

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) app: String,
    pub(crate) version: String,
    pub(crate) warm_up_ms: u64,
    /// The rights that its files are to have, octal as `chmod` takes them.
    pub(crate) modes: BTreeMap<String, String>,
}

/// Whether the registry has the release.
pub(crate) fn has(place: &Place, app: &str, version: &str) -> io::Result<bool> {
    let index: Index = read(&place.registry().join(INDEX))?.unwrap_or_default();
    Ok(index.get(app).is_some_and(|versions| versions.contains_key(version)))
}

/// Packs a release and puts it into the registry.
pub(crate) fn release(place: &Place, app: &str, version: &str, nature: Nature) -> io::Result<()> {
    let (registry, file) = (place.registry(), format!("{app}-{version}.tar.gz"));
    let folder = registry.join(format!(".{app}-{version}"));
    gone(fs::remove_dir_all(&folder))?;
    write_release(&folder, app, version, nature)?;
    let packed = Command::new("tar").arg("-czf").arg(registry.join(&file)).arg("-C").arg(&folder).arg(".").output();
    fs::remove_dir_all(&folder)?;
    let packed = packed?;
    if !packed.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&packed.stderr).trim().to_owned()));
    }
    let sha256 = hex(&Sha256::digest(fs::read(registry.join(&file))?));
    let mut index: Index = read(&registry.join(INDEX))?.unwrap_or_default();
    index.entry(app.to_owned()).or_default().insert(version.to_owned(), Entry { file, sha256 });
    write(&registry.join(INDEX), &index)
}

fn write_release(folder: &Path, app: &str, version: &str, nature: Nature) -> io::Result<()> {
    let modes = [("config.json", "600"), ("public", "755"), ("public/catalogue", "644")];
    let manifest = Manifest {
        app: app.to_owned(),
        version: version.to_owned(),
        warm_up_ms: u64::from(nature.warm_up) * 1000,
        modes: modes.map(|(file, mode)| (file.to_owned(), mode.to_owned())).into(),
    };
    write(&folder.join("release.json"), &manifest)?;
    site::write(&folder.join("config.json.j2"), include_str!("../assets/release/config.json.j2"))?;
    let page = include_str!("../assets/release/page.html.j2");
    let fault = if nature.broken { "{{ stock }}\n" } else { "" };
    if !nature.dies {
        site::write(&folder.join("page.html.j2"), &format!("{page}{fault}"))?;
    }
    fs::create_dir_all(folder.join("public"))?;
    fs::write(folder.join("public/catalogue"), catalogue(version))
}

/// What cannot be packed any smaller: the checksums of checksums.
fn catalogue(version: &str) -> Vec<u8> {
    let checksums = std::iter::successors(Some(Sha256::digest(version)), |last| Some(Sha256::digest(last)));
    checksums.flatten().take(CATALOGUE).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A registry's server, a process that ends with this one.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(place: &Place) -> io::Result<Self> {
        fs::create_dir_all(place.registry())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("registry").arg(place.registry()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that a Ctrl-C in the terminal does not reach it before the run has ended.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut server = Self { child: command.spawn()?, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut line = String::new();
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        server.address = line.trim().parse().map_err(|_| io::Error::other("the registry does not say where it is"))?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already: that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the files of `folder` until the standard input ends, which it does with the process that started this one.
pub(crate) fn serve(folder: &Path) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let folder = folder.to_owned();
    http::serve(&listener, move |_, path| file(&folder, path.trim_start_matches('/')))
}

fn file(folder: &Path, path: &str) -> Answer {
    let is_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    match fs::read(folder.join(path)) {
        Ok(bytes) if is_inside => Answer::new(200, bytes),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Answer::new(500, error.to_string()),
        _ => Answer::new(404, "there is no such file"),
    }
}
