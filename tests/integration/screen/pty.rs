//! A built example on a real pseudo terminal of the operating system.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::terminal::Terminal;
use crate::flows::user::User;

/// What an example leaves on a terminal of that many columns and 24 rows, and all that it wrote.
fn on_terminal(user: &User, columns: u16, arguments: &[&str]) -> (Vec<String>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let side = File::options().read(true).write(true).open(name).unwrap();
    tcsetwinsize(&side, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut terminal = Terminal::new(columns, 24);
    let reader = thread::spawn({
        let (mut terminal, mut master) = (terminal.clone(), File::from(master));
        move || {
            let mut bytes = [0; 4096];
            // Ends with an error when nobody has the other side any more.
            while let Ok(read @ 1..) = master.read(&mut bytes) {
                terminal.write_all(&bytes[..read]).unwrap();
            }
        }
    });
    let mut command = user.command("provision", arguments);
    command.env("TERM", "xterm").env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
    command.stdout(Stdio::from(side.try_clone().unwrap())).stderr(Stdio::from(side));
    let status = command.status().unwrap();
    drop(command);
    reader.join().unwrap();
    terminal.flush().unwrap();
    assert!(status.success(), "{:?}", terminal.rows());
    (terminal.history(), terminal.written())
}

#[test]
fn an_example_shows_its_run_on_a_terminal_of_any_width() {
    for columns in [40, 80, 200] {
        let user = User::new();
        let (rows, written) = on_terminal(&user, columns, &["--boot-seconds", "1"]);
        let steps: Vec<_> = rows.iter().filter(|row| row.starts_with('✓')).collect();
        assert_eq!(steps.len(), 9, "{rows:?}");
        assert!(steps.iter().all(|row| row.chars().count() < usize::from(columns)), "{rows:?}");
        assert!(steps[8].contains("9/9  Wait for cloud-init"), "{rows:?}");
        assert!(rows.iter().any(|row| row.starts_with("completed in ")), "{rows:?}");
        assert!(written.contains("Progress: 87.5% (8/9)"), "it was live: {written}");
        assert_eq!(rows.iter().find(|row| row.starts_with("Progress")), None, "and is gone: {rows:?}");
        assert!(!written.contains("\u{1b}[32m") && !written.contains("\u{1b}[?25l"), "no colours, and a cursor");
    }
}
