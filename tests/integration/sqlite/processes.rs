//! Several processes on one file, some of which die.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use step_machine::journal::{Append, Claim};
use step_machine::{Journal, JournalError};
#[cfg(unix)]
use step_machine::{SqliteJournal, journal::Synchronous};

use super::{append, claim, events, open};

const VARIABLE: &str = "STEP_MACHINE_TEST_JOURNAL";

/// The other process: it drives a run until it is told otherwise.
#[test]
fn drives_a_run_where_another_test_asks_for_it() {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let journal = open(Path::new(&path));
    let mut name = Claim::of("r");
    name.exclusive = vec!["web".to_owned()];
    let lease = journal.claim(&name).wait().unwrap().lease;
    let all = events("r", 10_000);
    append(&journal, &lease, &all[..2]);
    println!("\nit drives");
    for event in all[2..].chunks(1) {
        if let Err(error) = journal.append(Append::new(&lease, event)).wait() {
            println!("\nit was stopped: {error}");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Other {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["sqlite::processes::drives_a_run_where_another_test_asks_for_it", "--exact", "--nocapture"])
            .env(VARIABLE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut other = Self { process, lines };
        other.says("it drives");
        other
    }

    fn says(&mut self, beginning: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(beginning)).expect(beginning)
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_run_of_a_process_that_was_killed_is_taken_over_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut other = Other::start(&path);
    let journal = open(&path);
    let refused = journal.claim(&Claim::of("r")).wait();
    let pid = other.process.id();
    assert!(matches!(&refused, Err(JournalError::Owned { owner, .. }) if owner.pid == pid), "{refused:?}");
    let mut name = Claim::of("s");
    name.exclusive = vec!["web".to_owned()];
    assert!(matches!(journal.claim(&name).wait(), Err(JournalError::Exclusive { .. })));
    assert_eq!(journal.prune(std::time::SystemTime::now()).wait().unwrap(), 0);

    other.process.kill().unwrap();
    other.process.wait().unwrap();
    let claimed = journal.claim(&Claim::of("r")).wait().unwrap();
    assert!(claimed.events.len() >= 2);
    assert_eq!(claimed.events, events("r", claimed.events.len() as u64));
    journal.claim(&name).wait().unwrap();
    let next = claimed.events.len();
    append(&journal, &claimed.lease, &events("r", next as u64 + 1)[next..]);
    // Of the dead nothing is left but the events.
    let owners = std::fs::read_dir(folder.path().join("runs.db-owners")).unwrap().count();
    assert_eq!(owners, 1);
}

/// Another process that was put to sleep; `None` where that was within a commit, which holds up everybody.
#[cfg(unix)]
fn asleep(path: &Path) -> Option<(Other, SqliteJournal)> {
    let options = SqliteJournal::options().synchronous(Synchronous::Normal);
    let journal = options.busy_timeout(Duration::from_millis(200)).open(path).unwrap();
    let other = Other::start(path);
    other.signal("STOP");
    match journal.claim(&Claim::of("r")).wait() {
        Err(JournalError::Owned { .. }) => Some((other, journal)),
        Err(JournalError::Write { .. }) => None,
        unexpected => panic!("{unexpected:?}"),
    }
}

#[cfg(unix)]
#[test]
fn a_process_that_sleeps_keeps_its_run_and_one_that_wakes_after_a_take_over_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = (0..20).map(|at| folder.path().join(format!("runs-{at}.db")));
    let (mut other, journal) = paths.into_iter().find_map(|path| asleep(&path)).unwrap();
    let mut force = Claim::of("r");
    force.take_over = true;
    let claimed = journal.claim(&force).wait().unwrap();
    let next = claimed.events.len();
    append(&journal, &claimed.lease, &events("r", next as u64 + 1)[next..]);
    other.signal("CONT");
    let said = other.says("it was stopped");
    assert!(said.contains("run r was taken over by process"), "{said}");
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", next as u64 + 1));
}

#[test]
fn a_log_whose_end_was_never_written_is_read_up_to_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut other = Other::start(&path);
    let log = folder.path().join("runs.db-wal");
    while std::fs::metadata(&log).unwrap().len() < 256 << 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    other.process.kill().unwrap();
    other.process.wait().unwrap();
    // Nobody else has the file open: the log is all that there is.
    let journal = open(&path);
    let found = journal.load(&"r".into()).wait().unwrap();
    assert!(found.len() > 10, "{} events", found.len());
    assert_eq!(found, events("r", found.len() as u64));
    assert!(journal.check().wait().unwrap().is_empty());
    assert_eq!(journal.claim(&Claim::of("r")).wait().unwrap().events, found);
}

#[test]
fn two_processes_write_to_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let _other = Other::start(&path);
    let journal = open(&path);
    let lease = claim(&journal, "own");
    for event in events("own", 200).chunks(1) {
        append(&journal, &lease, event);
    }
    assert_eq!(journal.load(&"own".into()).wait().unwrap(), events("own", 200));
    let there = journal.load(&"r".into()).wait().unwrap();
    assert_eq!(there, events("r", there.len() as u64));
}
