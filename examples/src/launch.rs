//! Processes of this program that outlive the one that starts them: they answer on a port that a file tells, for as long
//! as they are wanted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::disk::{read_json, remove, write_json};
use crate::http::{self, Answer};

/// A process that nobody asked anything for so long was forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often a process looks whether it is still wanted.
const LOOK_WANTED: Duration = Duration::from_millis(50);

/// How long a process may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// How a process tells that it listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Listening {
    port: u16,
    pid: u32,
}

/// Starts this program as `serve MODE FOLDER`, in which it calls [`serve`], and waits until it listens, as `file` then
/// tells; its port. What it has to say where it does not come so far goes to `log`.
pub async fn start(mode: &str, folder: &Path, file: &Path, log: Option<&Path>) -> io::Result<u16> {
    // One that a process has started which died.
    end(file)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([OsStr::new("serve"), OsStr::new(mode), folder.as_os_str()]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(log) = log {
        command.stderr(File::create(log)?);
    }
    // A group of its own, so that a Ctrl-C in the terminal does not reach it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut process = command.spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(Listening { port, .. }) = read_json(file) {
            return Ok(port);
        }
        if let Some(status) = process.try_wait()?
            && !file.exists()
        {
            return Err(io::Error::other(last_words(status, log)));
        }
        tokio::time::sleep(LOOK).await;
    }
    process.kill()?;
    process.wait()?;
    Err(io::ErrorKind::TimedOut.into())
}

/// How a process ended, and what it said to that.
fn last_words(status: std::process::ExitStatus, log: Option<&Path>) -> String {
    let text = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
    let words = text.trim().trim_start_matches("error: ");
    if words.is_empty() { format!("it ended with {status}") } else { format!("it ended with {status}: {words}") }
}

/// The port of the process that `file` tells of, where it answers.
pub fn port(file: &Path) -> Option<u16> {
    let Listening { port, .. } = read_json(file).ok()?;
    answers(port).then_some(port)
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ends the process that `file` tells of, and waits until it is gone.
pub fn end(file: &Path) -> io::Result<()> {
    let listening = read_json::<Listening>(file);
    remove(file)?;
    let Ok(Listening { port, .. }) = listening else { return Ok(()) };
    let begun = Instant::now();
    while answers(port) {
        if begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Answers requests, each by its path, on a free port, which `file` tells, for as long as the file and `wanted` are there. Where another
/// process has told there that it does so, this one has nothing to do.
pub fn serve(file: &Path, wanted: &Path, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listening = Listening { port: listener.local_addr()?.port(), pid: std::process::id() };
    let last_asked = Arc::new(Mutex::new(Instant::now()));
    if !write_first(file, listening)? {
        return Ok(());
    }
    let (file, wanted, asked) = (file.to_owned(), wanted.to_owned(), last_asked.clone());
    thread::spawn(move || end_when_unwanted(&file, &wanted, &asked));
    http::serve(&listener, move |method, path| {
        *last_asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if method == "GET" { answer(path) } else { Answer::of_status(405) }
    })
}

/// Writes the file as a whole, unless it is there already; whether it was written.
fn write_first(file: &Path, listening: Listening) -> io::Result<bool> {
    let own = file.with_extension(format!("{}.new", listening.pid));
    write_json(&own, &listening)?;
    let linked = fs::hard_link(&own, file);
    fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    }
}

fn end_when_unwanted(file: &Path, wanted: &Path, last_asked: &Mutex<Instant>) {
    loop {
        thread::sleep(LOOK_WANTED);
        let idle = last_asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let is_told = read_json::<Listening>(file).is_ok_and(|told| told.pid == std::process::id());
        if is_told && (!wanted.exists() || idle > IDLE_LIMIT) {
            let _ = fs::remove_file(file);
            std::process::exit(0);
        }
        if !is_told {
            std::process::exit(0);
        }
    }
}
