//! A process that serves the files of a folder, and what such files are made of.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Component, Path};
use std::process::{Child, Command, Stdio};
use std::thread;

use sha2::{Digest, Sha256};

use crate::http::{self, Answer};

/// What cannot be packed any smaller: the checksums of checksums.
pub fn incompressible(seed: &str, length: usize) -> Vec<u8> {
    let checksums = std::iter::successors(Some(Sha256::digest(seed)), |last| Some(Sha256::digest(last)));
    checksums.flatten().take(length).collect()
}

/// Bytes as people write checksums.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A process that serves the files of a folder, and ends with this one.
pub struct FileServer {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl FileServer {
    /// Starts this program in the mode `mode`, in which it calls [`serve`], for `folder`.
    pub fn start(mode: &str, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(mode).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that a Ctrl-C in the terminal does not reach it before the run has ended.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut server = Self { child: command.spawn()?, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut line = String::new();
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        server.address =
            line.trim().parse().map_err(|_| io::Error::other(format!("the {mode} does not say where it is")))?;
        Ok(server)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        // Gone already: that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the files of `folder` until the standard input ends, which it does with the process that started this one.
pub fn serve(folder: &Path) -> io::Result<()> {
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
