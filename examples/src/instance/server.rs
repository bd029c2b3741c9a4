//! The server process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::guest::Guest;
use super::{Answer, Ask, Request, UserData};

/// A server that nobody asked anything for so long was forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often the server looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// How long a client may take for its line, and the longest line.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_LINE: u64 = 64 * 1024;

/// Is the instance that the file at `path` describes. Ends when it is told to, when the file or its disk goes, or when
/// nobody asks any more.
pub fn serve(path: &Path) -> io::Result<()> {
    let order = UserData::read(path)?;
    let listener = TcpListener::bind((order.ip, order.port)).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}:{}: {error}", order.ip, order.port))
    })?;
    let server = Arc::new(Server { guest: Guest::new(order.clone()), last_asked: Mutex::new(Instant::now()) });
    std::fs::write(order.listening(), std::process::id().to_string())?;
    let guest = server.clone();
    thread::spawn(move || guest.guest.boot());
    let (watched, path) = (server.clone(), path.to_owned());
    thread::spawn(move || watched.end_when_unwanted(&path, &order));
    for stream in listener.incoming() {
        // A client that fails is its own problem.
        let (server, stream) = (server.clone(), stream?);
        thread::spawn(move || server.talk(stream));
    }
    Ok(())
}

struct Server {
    guest: Guest,
    last_asked: Mutex<Instant>,
}

impl Server {
    fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let greeting = format!("SSH-2.0-step-machine-demo {}\n", self.guest.order().name);
        stream.write_all(greeting.as_bytes())?;
        let mut line = String::new();
        BufReader::new((&stream).take(LONGEST_LINE)).read_line(&mut line)?;
        if line.is_empty() {
            return Ok(()); // Only the greeting was wanted.
        }
        *self.last_asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let (answer, last) = self.answer(&line);
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        if last {
            self.end();
        }
        Ok(())
    }

    /// The answer to a line, and whether it is the last one.
    fn answer(&self, line: &str) -> (Answer, bool) {
        match serde_json::from_str::<Ask>(line) {
            Ok(ask) if ask.token != self.guest.order().token => (Err("wrong token".to_owned()), false),
            Ok(Ask { request: Request::Shutdown, .. }) => (Ok("shutting down".to_owned()), true),
            Ok(ask) => (self.guest.work(ask.request), false),
            Err(error) => (Err(format!("not a request: {error}")), false),
        }
    }

    fn end_when_unwanted(&self, path: &Path, order: &UserData) {
        loop {
            thread::sleep(LOOK);
            // Its disk may go while it starts, before anybody could tell it to end.
            let wanted = order.listening().exists() && UserData::read(path).is_ok_and(|now| now.token == order.token);
            let idle = self.last_asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            if !wanted || idle > IDLE_LIMIT {
                self.end();
            }
        }
    }

    fn end(&self) {
        // It may be gone with the whole disk.
        let _ = std::fs::remove_file(self.guest.order().listening());
        std::process::exit(0);
    }
}
