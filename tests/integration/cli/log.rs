//! A damaged write-ahead log, as a process that was killed left it: refused, with the switch that goes on without.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use super::{Screen, command};
use crate::flows::user::User;

const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// The frames of a log that belong to it and end a commit: where each begins.
fn commits(log: &[u8]) -> Vec<usize> {
    let frames = (HEADER..log.len()).step_by(FRAME);
    let of_now = frames.take_while(|at| log.get(at + 8..at + 16) == Some(&log[16..24]));
    of_now.filter(|at| log[at + 4..at + 8] != [0; 4]).collect()
}

/// A user whose run `web` was killed at its last step, and one byte of what it left changed since, some commits before
/// its end.
struct Victim {
    user: User,
}

impl Victim {
    fn new() -> Self {
        let user = User::new();
        let killed = user.command("provision", &["--id", "web", "--crash-at", "cloud-init-wait"]).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
        let victim = Self { user };
        let [_, (path, mut log)] = victim.files();
        let commits = commits(&log);
        assert!(commits.len() > 8, "{} commits", commits.len());
        log[commits[commits.len() - 6] + 1000] ^= 0x01;
        fs::write(path, log).unwrap();
        victim
    }

    /// The file and its log.
    fn files(&self) -> [(PathBuf, Vec<u8>); 2] {
        ["runs.db", "runs.db-wal"].map(|name| {
            let path = self.user.path(name);
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
    }

    /// The command on the journal.
    fn says(&self, arguments: &[&str]) -> Screen {
        Screen::of(command(self.user.path("runs.db").to_str().unwrap(), arguments))
    }

    fn provision(&self, arguments: &[&str]) -> Screen {
        self.user.provision(arguments)
    }
}

/// Fails unless it names the damage and what to do, the switch among that.
fn is_refused(screen: &Screen, code: i32) {
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(code), ""), "{screen}");
    screen.complains("copy the file and its log (`-wal`) away before anything else opens it");
    screen.complains("the switch `--accept-damaged-log`");
    screen.complains("its write-ahead log is damaged at frame ");
    assert_eq!(screen.stderr.lines().count(), 1, "{screen}");
}

#[test]
fn an_example_says_how_to_go_on_and_goes_on_so() {
    let victim = Victim::new();
    let before = victim.files();
    is_refused(&victim.provision(&["--resume"]), 1);
    is_refused(&victim.provision(&["--id", "new"]), 1);
    assert!(victim.files() == before, "what is refused is left as it is");

    let screen = victim.provision(&["--resume", "--accept-damaged-log"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    // Eight were completed when it was killed; the last commits of that are lost, and what they completed ran again.
    let lines: Vec<_> = screen.stdout.lines().collect();
    let done = lines.iter().filter(|line| line.ends_with("done before")).count();
    assert!((1..8).contains(&done), "{screen}");
    screen.tells(&format!("provision: run web goes on, {done} of 9 steps are completed"));
    assert_eq!(lines.iter().filter(|line| line.starts_with('✓')).count(), 9, "{screen}");
    assert_eq!(victim.user.read_json("environment.json")["state"], "provisioned");

    // From then on nothing is damaged any more.
    assert_eq!(victim.says(&["check"]).stdout, "1 run read: nothing is wrong\n");
    assert_eq!(victim.provision(&["--id", "new"]).code, Some(0));
}

#[test]
fn the_command_reads_what_is_left_and_changes_nothing() {
    let victim = Victim::new();
    let before = victim.files();
    for arguments in [&["runs"][..], &["show", "web"], &["check"], &["prune", "--older-than", "1d", "--dry-run"]] {
        is_refused(&victim.says(arguments), 4);
        let screen = victim.says(&[arguments, &["--accept-damaged-log"]].concat());
        assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
        // Nobody is spared the next question by it.
        is_refused(&victim.says(arguments), 4);
    }
    let runs = victim.says(&["--accept-damaged-log", "runs", "--json"]);
    let run: serde_json::Value = serde_json::from_str(&runs.stdout).unwrap();
    assert_eq!((&run["run"], &run["status"]), (&"web".into(), &"running".into()));
    assert!(victim.files() == before, "reading changes nothing");
}

#[test]
fn the_command_writes_where_it_is_told_to_go_on_without_the_rest() {
    let victim = Victim::new();
    let before = victim.files();
    let abandon = ["abandon", "web", "--why", "its log is damaged"];
    is_refused(&victim.says(&abandon), 4);
    is_refused(&victim.says(&["prune", "--older-than", "1ms"]), 4);
    assert!(victim.files() == before, "what is refused is left as it is");

    let screen = victim.says(&[&abandon[..], &["--accept-damaged-log"]].concat());
    assert_eq!(screen.stdout, "run web is abandoned; nobody can go on with it\n", "{screen}");
    assert_eq!(victim.says(&["check"]).stdout, "1 run read: nothing is wrong\n");

    let victim = Victim::new();
    let screen = victim.says(&["prune", "--older-than", "1ms", "--accept-damaged-log"]);
    assert_eq!(screen.stdout, "0 runs removed\n", "a run that can go on is kept: {screen}");
    assert_eq!(victim.says(&["check"]).stdout, "1 run read: nothing is wrong\n");
}

#[test]
fn a_server_has_no_such_log() {
    let screen = Screen::of(command("postgres://nobody@127.0.0.1:1/none", &["runs", "--accept-damaged-log"]));
    assert_eq!(screen.code, Some(2), "{screen}");
    assert_eq!(screen.stderr, "step-machine: `--accept-damaged-log` is for a file; a server sees to its log itself\n");
}
