//! As much of HTTP/1.1 as a registry and a service need: one request a connection.
//!
//! A client and a server from a crate are trees of dependencies many times the size of this example.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// How long a client may take to say what it wants, and the longest head of a request or an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: u64 = 16 * 1024;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into() }
    }

    /// The first line of the body.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.body).lines().next().unwrap_or_default().trim().to_owned()
    }
}

/// An answer whose body is still to be read.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) length: u64,
    pub(crate) body: tokio::io::BufReader<tokio::net::TcpStream>,
}

/// Asks for `path` with `method`, and reads the answer as far as its body.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str) -> io::Result<Incoming> {
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

/// Asks, and reads the whole answer.
pub(crate) async fn get(address: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    let mut incoming = ask(address, method, path).await?;
    let mut body = Vec::new();
    (&mut incoming.body).take(incoming.length).read_to_end(&mut body).await?;
    Ok(Answer { status: incoming.status, body })
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
pub(crate) fn serve(
    listener: &TcpListener,
    answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
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
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
