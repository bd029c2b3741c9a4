//! The other end of the line.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::{Answer, Ask, Request};

/// How long connecting, and being greeted, may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long an answer may take.
const WORK: Duration = Duration::from_secs(10);

/// Speaks to an instance.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    token: String,
}

/// Why an instance did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It does not answer.
    #[error("no answer from the instance")]
    Line(#[from] io::Error),
    /// It says why not.
    #[error("the instance says: {0}")]
    Refused(String),
}

impl Client {
    /// A client of the instance at `address`.
    pub fn new(address: SocketAddr, token: impl Into<String>) -> Self {
        Self { address, token: token.into() }
    }

    /// Connects and reads the greeting.
    pub fn greeting(&self) -> io::Result<String> {
        let (_, greeting) = self.connect()?;
        Ok(greeting)
    }

    /// Asks, and waits for the answer on this thread.
    pub fn ask(&self, request: Request) -> Result<String, AskError> {
        let (mut lines, _) = self.connect()?;
        lines.get_ref().set_read_timeout(Some(WORK))?;
        lines.get_mut().write_all(&self.line(request)?)?;
        answer(&read_line(&mut lines)?)
    }

    /// [`ask`](Self::ask) for an answer that takes its time. Waits until it is dropped.
    pub async fn ask_async(&self, request: Request) -> Result<String, AskError> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let mut lines = tokio::io::BufReader::new(stream);
        let (mut greeting, mut line) = (String::new(), String::new());
        lines.read_line(&mut greeting).await?;
        lines.write_all(&self.line(request)?).await?;
        lines.read_line(&mut line).await?;
        answer(&line)
    }

    /// Ends the instance, and waits until nothing answers any more.
    pub fn shut_down(&self) -> Result<(), AskError> {
        self.ask(Request::Shutdown)?;
        let begun = Instant::now();
        while !self.is_gone() {
            if begun.elapsed() > WORK {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn is_gone(&self) -> bool {
        // While its process ends, a connection may still be taken in, and then broken.
        let gone = [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut];
        self.connect().is_err_and(|error| gone.contains(&error.kind()))
    }

    fn connect(&self) -> io::Result<(BufReader<TcpStream>, String)> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream);
        let greeting = read_line(&mut lines)?;
        Ok((lines, greeting))
    }

    fn line(&self, request: Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(&Ask { token: self.token.clone(), request })?;
        line.push(b'\n');
        Ok(line)
    }
}

fn read_line(lines: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match lines.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn answer(line: &str) -> Result<String, AskError> {
    let answer: Answer = serde_json::from_str(line).map_err(io::Error::from)?;
    answer.map_err(AskError::Refused)
}
