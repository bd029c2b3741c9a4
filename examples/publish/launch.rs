//! Processes that outlive the one that starts them.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Listening;
use crate::place::{read_json, remove};

/// How long a process may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Starts this program in the mode `mode` for `folder`, and waits until it listens, as `file` then tells.
pub(crate) async fn start(mode: &str, folder: &Path, file: &Path) -> io::Result<u16> {
    // One that a process has started which died.
    end(file)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([OsStr::new("serve"), OsStr::new(mode), folder.as_os_str()]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        tokio::time::sleep(LOOK).await;
    }
    process.kill()?;
    process.wait()?;
    Err(io::ErrorKind::TimedOut.into())
}

/// The port of the process that `file` tells of, where it answers.
pub(crate) fn port(file: &Path) -> Option<u16> {
    let Listening { port, .. } = read_json(file).ok()?;
    answers(port).then_some(port)
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ends the process that `file` tells of, and waits until it is gone.
pub(crate) fn end(file: &Path) -> io::Result<()> {
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
