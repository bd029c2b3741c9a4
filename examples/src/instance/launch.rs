//! Starting and ending the server process.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Client, UserData};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Starts the server that `user_data` describes, as a process that outlives this one, and waits until it listens.
pub fn start(user_data: &Path) -> io::Result<()> {
    let order = UserData::read(user_data)?;
    fs::create_dir_all(&order.folder)?;
    let log_path = order.folder.join("server.log");
    let log = File::create(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["instance", "serve"]).arg(user_data).current_dir(&order.folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own, so that a Ctrl-C in the terminal does not reach the server.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut server = command.spawn()?;
    wait_until_it_listens(&order, &mut server, &log_path)
}

fn wait_until_it_listens(order: &UserData, server: &mut Child, log: &Path) -> io::Result<()> {
    let begun = Instant::now();
    while !order.listening().exists() {
        if server.try_wait()?.is_some() {
            let log = fs::read_to_string(log)?;
            return Err(io::Error::other(log.trim().trim_start_matches("error: ").to_owned()));
        }
        if begun.elapsed() > PATIENCE {
            server.kill()?;
            server.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Ends the server that `user_data` describes and removes its disk. Nothing to do is fine.
pub fn stop(user_data: &Path) -> io::Result<()> {
    let order = match UserData::read(user_data) {
        Ok(order) => order,
        // Without its user data a server ends by itself.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(()),
        Err(error) => return Err(error),
    };
    // Only a server of ours has left this file; somebody else may have the port by now.
    if order.listening().exists() {
        let client = Client::new((order.ip, order.port).into(), &order.token);
        // One that does not answer any more is no reason to stop here: it ends when its user data goes.
        let _ = client.shut_down();
    }
    match fs::remove_dir_all(&order.folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
