//! The metrics of a run, for Prometheus to fetch or to find in a file.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use clap::Args;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use step_machine::Observer;
use step_machine::event::{Event, RunEnd, StepEnd};
use step_machine::observe::Metrics;

use super::complain;

/// How long a client may take to say what it wants, and the longest that it may be.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: u64 = 16 * 1024;

/// Where the metrics of a run are shown.
#[derive(Debug, Clone, Args)]
pub struct MetricsArgs {
    /// Show metrics of the run to Prometheus: at an address like `127.0.0.1:9184`, which is still there after the run until
    /// it was asked once more, for 5 seconds at most; or in a file, which is written anew at the end of each step
    #[arg(long, value_name = "ADDR|FILE")]
    metrics: Option<OsString>,
    #[arg(skip)]
    exposed: OnceLock<Arc<Exposed>>,
}

/// Why metrics cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Somebody counts already, or not that way.
    #[error("metrics cannot be counted")]
    Recorder(#[from] BuildError),
    /// The place for them cannot be had.
    #[error("metrics cannot be shown at {}", .place.display())]
    Place {
        /// The address or file.
        place: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl MetricsArgs {
    /// Counts from here on, and shows what is counted.
    pub(super) fn expose(&self) -> Result<(), MetricsError> {
        let Some(place) = &self.metrics else { return Ok(()) };
        let durations = Matcher::Suffix("duration_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &Metrics::DURATION_BUCKETS)?;
        let handle = builder.install_recorder()?;
        let failed = |source| MetricsError::Place { place: place.into(), source };
        let exposed = match address(place) {
            Some(address) => Exposed::At(Server::start(address, handle).map_err(failed)?),
            None => Exposed::In(TextFile { path: place.into(), handle }),
        };
        if let Exposed::In(file) = &exposed {
            file.write().map_err(failed)?;
        }
        let _ = self.exposed.set(Arc::new(exposed));
        Ok(())
    }

    /// What has to see a run.
    pub(super) fn observers(&self) -> Vec<Box<dyn Observer>> {
        let Some(exposed) = self.exposed.get() else { return Vec::new() };
        let mut observers: Vec<Box<dyn Observer>> = vec![Box::new(Metrics::new())];
        if let Exposed::In(file) = &**exposed {
            // After what counts.
            observers.push(Box::new(file.clone()));
        }
        observers
    }
}

/// The address, where what was given is one and no file.
fn address(place: &OsString) -> Option<SocketAddr> {
    let place = place.to_str()?;
    let (host, port) = place.rsplit_once(':')?;
    if host.contains(['/', '\\']) || port.parse::<u16>().is_err() {
        return None;
    }
    place.to_socket_addrs().ok()?.next()
}

/// Where metrics are shown.
#[derive(Debug)]
enum Exposed {
    #[expect(dead_code, reason = "held to the end")]
    At(Server),
    In(TextFile),
}

/// A file that a collector of text files reads.
#[derive(Clone)]
struct TextFile {
    path: PathBuf,
    handle: PrometheusHandle,
}

impl TextFile {
    /// Writes it anew. In one move, so that nobody reads a half of it.
    fn write(&self) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, self.handle.render())?;
        fs::rename(Path::new(&beside), &self.path)
    }

    fn rewrite(&self) {
        if let Err(error) = self.write() {
            complain(&format!("metrics cannot be written to {}: {error}", self.path.display()));
        }
    }
}

impl std::fmt::Debug for TextFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TextFile").field(&self.path).finish()
    }
}

impl Observer for TextFile {
    fn step_end(&mut self, _: &Event, _: &StepEnd) {
        self.rewrite();
    }

    fn run_end(&mut self, _: &Event, _: &RunEnd) {
        self.rewrite();
    }
}

/// Answers Prometheus, and waits at its end until it was asked once more: what a run counted last is shown too.
#[derive(Debug)]
struct Server(Arc<Last>);

/// Whether the run is over, and was asked for since.
#[derive(Debug, Default)]
struct Last {
    state: Mutex<(bool, bool)>,
    has_changed: Condvar,
}

impl Server {
    fn start(address: SocketAddr, handle: PrometheusHandle) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let last = Arc::<Last>::default();
        let asked = last.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handle, last) = (handle.clone(), asked.clone());
                // A client that fails is its own problem.
                thread::spawn(move || answer(&stream, &handle, &last));
            }
        });
        Ok(Self(last))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        let waited = self.0.has_changed.wait_timeout_while(state, PATIENCE, |(_, is_told)| !*is_told);
        drop(waited);
    }
}

fn answer(mut stream: &TcpStream, handle: &PrometheusHandle, last: &Last) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(LONGEST_HEAD)).lines();
    let request = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    // The rest of the head: a connection that is closed with something unread in it is reset.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    if request.split(' ').nth(1) != Some("/metrics") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let is_over = last.state.lock().unwrap_or_else(PoisonError::into_inner).0;
    let body = handle.render();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    if is_over {
        last.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        last.has_changed.notify_all();
    }
    Ok(())
}
