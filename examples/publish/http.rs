//! As much of HTTP as the platform speaks: one request a connection, and nothing but GET.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::place::{read_json, write_json};

/// A process that nobody asked anything for so long was forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often a process looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// How long the other end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request line.
const LONGEST_LINE: u64 = 8 * 1024;

/// How a process tells that it listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) port: u16,
    pub(crate) pid: u32,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, body: format!("{status}\n").into_bytes() }
    }

    /// The file `path` below `folder`; the first page for the folder itself.
    pub(crate) fn of_file(folder: &Path, path: &str) -> Self {
        let path = Path::new(path.trim_start_matches('/'));
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Self::of_status(404);
        }
        let file = if path.as_os_str().is_empty() { folder.join("index.html") } else { folder.join(path) };
        fs::read(file).map_or_else(|_| Self::of_status(404), |body| Self { status: 200, body })
    }
}

/// Answers requests on a free port, which `file` tells, for as long as the file and `wanted` are there. Where another
/// process has told there that it does so, this one has nothing to do.
pub(crate) fn serve(
    file: &Path,
    wanted: &Path,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listening = Listening { port: listener.local_addr()?.port(), pid: std::process::id() };
    let last_asked = Arc::new(Mutex::new(Instant::now()));
    if !write_first(file, listening)? {
        return Ok(());
    }
    let (file, wanted, asked) = (file.to_owned(), wanted.to_owned(), last_asked.clone());
    thread::spawn(move || end_when_unwanted(&file, &wanted, &asked));
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        *last_asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        // A client that fails is its own problem.
        let (answer, stream) = (answer.clone(), stream?);
        thread::spawn(move || talk(stream, &*answer));
    }
    Ok(())
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
        thread::sleep(LOOK);
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

fn talk(mut stream: TcpStream, answer: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new((&stream).take(LONGEST_LINE));
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let Answer { status, body } = match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["GET", path, ..] => answer(path),
        [] => return Ok(()), // Only whether somebody listens was wanted.
        _ => Answer::of_status(405),
    };
    // Who closes before all is read would cut the answer off.
    while line != "\r\n" && line != "\n" && !line.is_empty() {
        line.clear();
        lines.read_line(&mut line)?;
    }
    write!(stream, "HTTP/1.1 {status} .\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// Asks for `path` at `port` of this machine, and waits for the answer on this thread.
pub(crate) fn get(port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(no_http)?;
    let status = String::from_utf8_lossy(&answer[..head]).split_whitespace().nth(1).and_then(|code| code.parse().ok());
    Ok(Answer { status: status.ok_or_else(no_http)?, body: answer.split_off(head + 4) })
}
