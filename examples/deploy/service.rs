//! The service: a process that outlives the one that starts it, and answers as its release has it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use step_machine_examples::disk::{gone, read, write};
use step_machine_examples::http::{self, Answer};
use step_machine_examples::template;
use tokio::process::{Child, Command};

use crate::place::{Identity, Place};

/// How often is looked whether something has changed.
const LOOK: Duration = Duration::from_millis(50);

/// How long the port of a version that ends may be held.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service that runs so long was forgotten.
const LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// What the template of a release becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    app: String,
    version: String,
    address: SocketAddr,
    token: String,
    page: String,
    warm_up_ms: u64,
}

/// The release that the service is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) folder: PathBuf,
    /// Of all starts of the service, this one.
    pub(crate) start: String,
}

/// Why a service did not get ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("it ended ({status}): {log}")]
    Died { status: std::process::ExitStatus, log: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Starts the release in `folder` and waits until it is ready. A start that is dropped is not undone by that.
pub(crate) async fn start(place: &Place, identity: &Identity, folder: &Path, start: &str) -> Result<(), StartError> {
    let mut child = spawn(place, folder, start)?;
    loop {
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(place.log())?;
            return Err(StartError::Died { status, log: log.trim().trim_start_matches("error: ").to_owned() });
        }
        if http::get(identity.address, "GET", &format!("/ready/{start}")).await.is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn spawn(place: &Place, folder: &Path, start: &str) -> io::Result<Child> {
    write(&place.wanted(), &Wanted { folder: folder.to_owned(), start: start.to_owned() })?;
    let log = File::create(place.log())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(place.root()).arg(start).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own, so that a Ctrl-C in the terminal does not reach the service.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

/// Ends the service, and waits until nothing answers any more; whether there was one.
pub(crate) async fn stop(place: &Place, identity: &Identity) -> io::Result<bool> {
    let (begun, end) = (Instant::now(), format!("/end/{}", identity.token));
    let mut was_up = false;
    // Another answer is not from a service of ours.
    while http::get(identity.address, "POST", &end).await.is_ok_and(|answer| answer.status == 200) {
        was_up = true;
        if begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // One that does not answer, or not yet, ends when it is not wanted any more.
    gone(fs::remove_file(place.wanted()))?;
    Ok(was_up)
}

/// Is the service that is wanted in `dir`. Ends when it is told to, or when `start` is not wanted any more.
pub(crate) fn serve(dir: &Path, start: &str) -> io::Result<()> {
    let place = Place::at(dir)?;
    let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, format!("there is no {what}"));
    let wanted: Option<Wanted> = read(&place.wanted())?;
    let wanted = wanted.filter(|wanted| wanted.start == start).ok_or_else(|| missing("wish for this service"))?;
    let folder = wanted.folder.clone();
    let config: Config = read(&folder.join("config.json"))?.ok_or_else(|| missing("config.json"))?;
    let page = folder.join(&config.page);
    fs::read_to_string(&page).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", config.page)))?;
    let listener = listen(config.address)?;
    let watched = (place, wanted.clone());
    thread::spawn(move || end_when_unwanted(&watched.0, &watched.1));
    let (ready, warm_up) = (Arc::new(AtomicBool::new(false)), Duration::from_millis(config.warm_up_ms));
    let warm = ready.clone();
    thread::spawn(move || {
        thread::sleep(warm_up);
        warm.store(true, Ordering::Release);
    });
    let (ready_path, end_path) = (format!("/ready/{}", wanted.start), format!("/end/{}", config.token));
    http::serve(&listener, move |method, path| match (method, path) {
        ("POST", path) if path == end_path => end_soon(),
        _ if !ready.load(Ordering::Acquire) => Answer::new(503, "warming up"),
        ("GET", path) if path == ready_path => Answer::new(200, "ready"),
        ("GET", "/" | "/health") => show(&folder, &config),
        _ => Answer::new(404, format!("there is no {path}")),
    })
}

/// Answers first.
fn end_soon() -> Answer {
    thread::spawn(|| {
        thread::sleep(Duration::from_millis(10));
        std::process::exit(0);
    });
    Answer::new(200, "ending")
}

fn show(folder: &Path, config: &Config) -> Answer {
    match template::render(folder, &config.page, config) {
        Ok(page) => Answer::new(200, page),
        Err(error) => Answer::new(500, format!("{error}: {}", error.source)),
    }
}

/// The version before may be about to let go of the port.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => thread::sleep(LOOK),
            Err(error) => return Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))),
            bound => return bound,
        }
    }
}

fn end_when_unwanted(place: &Place, wanted: &Wanted) {
    let begun = Instant::now();
    while begun.elapsed() < LIFETIME && read(&place.wanted()).is_ok_and(|now| now.as_ref() == Some(wanted)) {
        thread::sleep(LOOK);
    }
    std::process::exit(0);
}
