//! A line to the server that a test makes fail.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What becomes of a line.
#[derive(Default)]
struct Course {
    /// New connections are taken, and then nobody says anything.
    is_silent: bool,
    /// A connection that asks for this is cut when the server has it, before the answer.
    cut_at: Option<&'static [u8]>,
    /// What comes from the server comes at most so fast.
    bytes_per_second: Option<u32>,
    connections: Vec<Connection>,
}

/// Both ends of a connection through here.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

#[derive(Clone)]
pub(super) struct Proxy {
    course: Arc<Mutex<Course>>,
    url: String,
}

impl Proxy {
    /// A line to the server of a URL.
    pub(super) fn to(url: &str) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url.replace(server, &listener.local_addr().unwrap().to_string());
        let proxy = Self { course: Arc::default(), url };
        let (server, through) = (server.to_owned(), proxy.clone());
        spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if through.course.lock().unwrap().is_silent {
                    // Open as long as this process lives.
                    std::mem::forget(client);
                } else {
                    through.connect(client, TcpStream::connect(&server).unwrap());
                }
            }
        });
        proxy
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whoever connects from now on is not answered; who is connected is cut off.
    pub(super) fn be_silent(&self) {
        self.course.lock().unwrap().is_silent = true;
        for connection in self.course.lock().unwrap().connections.drain(..) {
            let _ = connection.client.shutdown(Shutdown::Both);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }

    /// Cuts the next connection that asks for this: the server does it, and its answer is lost.
    pub(super) fn lose_answer_to(&self, what: &'static str) {
        self.course.lock().unwrap().cut_at = Some(what.as_bytes());
    }

    /// Cuts those who are connected, which the server does not notice.
    pub(super) fn cut_unseen(&self) {
        for connection in self.course.lock().unwrap().connections.drain(..) {
            let _ = connection.client.shutdown(Shutdown::Both);
            std::mem::forget(connection.server);
        }
    }

    pub(super) fn slow_down(&self, bytes_per_second: u32) {
        self.course.lock().unwrap().bytes_per_second = Some(bytes_per_second);
    }

    fn connect(&self, client: TcpStream, server: TcpStream) {
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
        }
        let connection = || Connection { client: client.try_clone().unwrap(), server: server.try_clone().unwrap() };
        self.course.lock().unwrap().connections.push(connection());
        let (there, back) = (connection(), connection());
        let (asking, answering) = (self.clone(), self.clone());
        spawn(move || asking.pass_on(there));
        spawn(move || answering.pass_back(back));
    }

    fn pass_on(&self, Connection { mut client, mut server }: Connection) {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = client.read(&mut bytes) {
            let is_cut = {
                let cut_at = &mut self.course.lock().unwrap().cut_at;
                let has = |what: &[u8]| bytes[..read].windows(what.len()).any(|part| part == what);
                cut_at.take_if(|what| has(what)).is_some()
            };
            if is_cut {
                let _ = client.shutdown(Shutdown::Both);
            }
            if server.write_all(&bytes[..read]).is_err() {
                break;
            }
            if is_cut {
                // It ends the session once it has done what it was asked for.
                let _ = server.shutdown(Shutdown::Write);
                return;
            }
        }
        // Where it was cut unseen there is another end that stays.
        let _ = client.shutdown(Shutdown::Both);
    }

    fn pass_back(&self, Connection { mut client, mut server }: Connection) {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = server.read(&mut bytes) {
            let rate = self.course.lock().unwrap().bytes_per_second;
            if let Some(rate) = rate {
                sleep(Duration::from_secs(1) * u32::try_from(read).unwrap() / rate);
            }
            if client.write_all(&bytes[..read]).is_err() {
                return;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}
