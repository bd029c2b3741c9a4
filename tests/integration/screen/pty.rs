//! A built example on a real pseudo terminal of the operating system.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{ExitStatus, Stdio};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::terminal::Terminal;
use crate::flows::user::User;

/// What `provision` leaves on a terminal of that many columns and 24 rows, and all that it wrote.
fn on_terminal(user: &User, columns: u16, arguments: &[&str]) -> (Vec<String>, String) {
    let (status, terminal) = ends_on_terminal(user, columns, "provision", arguments);
    assert!(status.success(), "{:?}", terminal.rows());
    (terminal.history(), terminal.written())
}

/// How an example ends, and the terminal that it was on.
fn ends_on_terminal(user: &User, columns: u16, example: &str, arguments: &[&str]) -> (ExitStatus, Terminal) {
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
    let mut command = user.command(example, arguments);
    command.env("TERM", "xterm").env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
    command.stdout(Stdio::from(side.try_clone().unwrap())).stderr(Stdio::from(side));
    let status = command.status().unwrap();
    drop(command);
    reader.join().unwrap();
    terminal.flush().unwrap();
    (status, terminal)
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

#[test]
fn an_example_that_crashes_has_shown_what_was_done() {
    let user = User::new();
    let (status, terminal) = ends_on_terminal(&user, 100, "provision", &["--crash-at", "open-tofu-apply"]);
    assert!(!status.success());
    let rows = terminal.history();
    assert_eq!(rows.iter().filter(|row| row.starts_with('✓')).count(), 4, "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("died at open-tofu-apply; ")), "{rows:?}");
}

#[test]
fn what_is_told_beside_the_screen_is_not_mixed_with_it() {
    let user = User::new();
    let (status, terminal) = ends_on_terminal(&user, 100, "compose", &["--on-status"]);
    user.run("compose", &["stop"]);
    let rows = terminal.history();
    assert!(status.success(), "{rows:?}");
    let told: Vec<_> = rows.iter().filter(|row| row.starts_with("shop-1 ")).collect();
    assert!(told.iter().any(|row| row.ends_with("worktree: is done")), "{rows:?}");
    assert_eq!(told.iter().find(|row| row.contains(['░', '█'])), None, "{rows:?}");
}
