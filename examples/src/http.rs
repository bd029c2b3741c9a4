//! As much of HTTP/1.1 as registries, services and routers need: one request a connection.
//!
//! A client and a server from a crate are trees of dependencies many times the size of these examples.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// How long the other side may take to say something, and the longest head of a request or an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: u64 = 16 * 1024;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it says.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer with this status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into() }
    }

    /// An answer that says no more than its status.
    pub fn of_status(status: u16) -> Self {
        Self::new(status, format!("{status}\n"))
    }

    /// The file `path` below `folder`; the first page for the folder itself.
    pub fn of_file(folder: &Path, path: &str) -> Self {
        let path = Path::new(path.trim_start_matches('/'));
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Self::of_status(404);
        }
        let file = if path.as_os_str().is_empty() { folder.join("index.html") } else { folder.join(path) };
        fs::read(file).map_or_else(|_| Self::of_status(404), |body| Self::new(200, body))
    }

    /// The first line of the body.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.body).lines().next().unwrap_or_default().trim().to_owned()
    }
}

/// An answer whose body is still to be read.
pub struct Incoming {
    /// Its status.
    pub status: u16,
    /// How long its body is.
    pub length: u64,
    /// Its body, which may go on after its length.
    pub body: tokio::io::BufReader<tokio::net::TcpStream>,
}

/// Asks for `path` with `method`, and reads the answer as far as its body.
pub async fn ask(address: SocketAddr, method: &str, path: &str) -> io::Result<Incoming> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut body = tokio::io::BufReader::new(stream);
    let (mut head, mut status, mut length) = ((&mut body).take(LONGEST_HEAD), None, 0);
    loop {
        let mut line = String::new();
        head.read_line(&mut line).await?;
        match (line.trim_end(), status) {
            ("", Some(status)) => return Ok(Incoming { status, length, body }),
            ("", None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (line, None) => status = Some(status_of(line)?),
            (line, Some(_)) => length = length_of(line).unwrap_or(length),
        }
    }
}

/// Asks, and reads the whole answer, for no longer than `PATIENCE`.
pub async fn get(address: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    let whole = async {
        let mut incoming = ask(address, method, path).await?;
        let mut body = Vec::new();
        (&mut incoming.body).take(incoming.length).read_to_end(&mut body).await?;
        Ok(Answer { status: incoming.status, body })
    };
    tokio::time::timeout(PATIENCE, whole).await.map_err(io::Error::from).and_then(|answer| answer)
}

/// Asks for `path` at `port` of this machine, and waits for the answer on this thread.
pub fn get_here(port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = status_of(String::from_utf8_lossy(&answer[..head]).lines().next().unwrap_or_default())?;
    Ok(Answer::new(status, answer.split_off(head + 4)))
}

fn status_of(line: &str) -> io::Result<u16> {
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {line}")))
}

fn length_of(line: &str) -> Option<u64> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

/// Answers requests, each by its method and path, until the process ends.
pub fn serve(listener: &TcpListener, answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> io::Result<()> {
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        // A client that fails is its own problem.
        let (answer, stream) = (answer.clone(), stream?);
        thread::spawn(move || talk(&stream, &*answer));
    }
    Ok(())
}

fn talk(mut stream: &TcpStream, answer: &dyn Fn(&str, &str) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(LONGEST_HEAD)).lines();
    let request = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    // The rest of the head: a connection that is closed with something unread in it is reset.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Answer { status, body } = answer(method, path);
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} {}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n", reason(status))?;
    stream.write_all(&body)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
