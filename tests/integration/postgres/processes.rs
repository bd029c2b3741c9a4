//! Several processes on one database, some of which die or hang.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use step_machine::journal::{Append, Claim};
use step_machine::{Journal, JournalError};

use super::{Place, append, server};
use crate::sqlite::events;

const VARIABLE: &str = "STEP_MACHINE_TEST_DRIVE_POSTGRES";

/// The other process: it drives a run until it is told otherwise.
#[test]
fn drives_a_run_where_another_test_asks_for_it() {
    let Ok(place) = std::env::var(VARIABLE) else { return };
    let (schema, url) = place.split_once('@').unwrap();
    let journal = Place { url: url.to_owned(), schema: schema.to_owned() }.open();
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
    fn start(place: &Place) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["postgres::processes::drives_a_run_where_another_test_asks_for_it", "--exact", "--nocapture"])
            .env(VARIABLE, format!("{}@{}", place.schema, place.url))
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

fn force(run: &str) -> Claim {
    let mut claim = Claim::of(run);
    claim.take_over = true;
    claim
}

#[test]
fn a_run_of_a_process_that_was_killed_is_taken_over_at_once() {
    let place = Place::new();
    let mut other = Other::start(&place);
    let journal = place.open();
    let refused = journal.claim(&Claim::of("r")).wait();
    let pid = other.process.id();
    assert!(matches!(&refused, Err(JournalError::Owned { owner, .. }) if owner.pid == pid), "{refused:?}");
    let mut name = Claim::of("s");
    name.exclusive = vec!["web".to_owned()];
    assert!(matches!(journal.claim(&name).wait(), Err(JournalError::Exclusive { .. })));
    assert!(matches!(journal.abandon(&"r".into(), "no").wait(), Err(JournalError::Owned { .. })));
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
    assert_eq!(place.rows("SELECT pid FROM owner"), [std::process::id().to_string()]);
}

#[test]
fn a_process_that_hangs_keeps_its_run_and_one_that_wakes_after_a_take_over_is_refused() {
    let place = Place::new();
    let mut other = Other::start(&place);
    let journal = place.open();
    other.signal("STOP");
    std::thread::sleep(Duration::from_millis(300));
    let refused = journal.claim(&Claim::of("r")).wait();
    assert!(matches!(refused, Err(JournalError::Owned { .. })), "{refused:?}");
    let claimed = journal.claim(&force("r")).wait().unwrap();
    let next = claimed.events.len();
    append(&journal, &claimed.lease, &events("r", next as u64 + 1)[next..]);
    other.signal("CONT");
    let said = other.says("it was stopped");
    assert!(said.contains("run r was taken over by process"), "{said}");
    assert_eq!(journal.load(&"r".into()).wait().unwrap(), events("r", next as u64 + 1));
    let mut name = Claim::of("s");
    name.exclusive = vec!["web".to_owned()];
    journal.claim(&name).wait().unwrap();
}

#[test]
fn a_process_that_slept_while_its_server_was_restarted_is_refused_where_it_was_taken_over() {
    let mut server = server::Server::start();
    let place = Place::at(server.url());
    let mut other = Other::start(&place);
    other.signal("STOP");
    server.restart();
    let journal = place.open();
    let mut name = Claim::of("s");
    name.exclusive = vec!["web".to_owned()];
    // Its session is gone, so for all that can be known it is dead; and it must not write once it is found to live.
    journal.claim(&name).wait().unwrap();
    other.signal("CONT");
    let said = other.says("it was stopped");
    assert!(said.contains("run r was taken over"), "{said}");
    journal.claim(&Claim::of("r")).wait().unwrap();
}
