//! A process that dies while it writes, or while it places what was written.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use step_machine::event::Event;
use step_machine::journal::{Claim, Journal};

use super::places::{RUNS, long, texts, upto};
use super::{append, open};

const CRASHING: &str = "STEP_MACHINE_TEST_CRASHING";

/// The other process: it goes on with all runs until it is killed, and says what is acknowledged.
#[test]
fn goes_on_where_another_test_asks_for_it() {
    let Some(path) = std::env::var_os(CRASHING) else { return };
    let journal = open(Path::new(&path));
    let claim = |run| journal.claim(&Claim::of(run)).wait().unwrap();
    let mut runs = RUNS.map(|run| (run, claim(run)));
    println!("\nclaimed");
    loop {
        for (run, claimed) in &mut runs {
            let next = match claimed.events.len() as u64 {
                0 => super::events(run, 1).remove(0),
                1 => super::events(run, 2).remove(1),
                count => long(run, count + 1),
            };
            append(&journal, &claimed.lease, std::slice::from_ref(&next));
            println!("\n{run} {}", next.seq);
            claimed.events.push(next);
        }
    }
}

/// Has it go on until it has acknowledged so many events, and so long, then kills it; gives the last that each run had.
fn crashed(path: &Path, events: usize, then: Duration) -> BTreeMap<String, u64> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["sqlite::crashed::goes_on_where_another_test_asks_for_it", "--exact", "--nocapture"])
        .env(CRASHING, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| line != "claimed").filter(|line| !line.is_empty());
    assert_eq!(lines.next().as_deref(), Some("claimed"));
    let mut acknowledged: Vec<String> = lines.by_ref().take(events).collect();
    std::thread::sleep(then);
    process.kill().unwrap();
    process.wait().unwrap();
    acknowledged.extend(lines);
    let last = |line: &String| line.split_once(' ').and_then(|(run, seq)| Some((run.to_owned(), seq.parse().ok()?)));
    acknowledged.iter().filter_map(last).collect()
}

#[test]
fn a_process_that_dies_at_any_moment_loses_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut known = BTreeMap::new();
    for round in 0..24 {
        // In each second round just when the rows of the one before are placed, which its first claim asks for.
        let (events, micros) = if round % 2 == 0 { (300, 0) } else { (0, 400 * round) };
        known.extend(crashed(&path, events, Duration::from_micros(micros)));
        let journal = open(&path);
        for (run, last) in &known {
            let found = journal.load(&run.as_str().into()).wait().unwrap();
            assert!(found.len() as u64 >= *last, "round {round}: {run} has {} events of {last}", found.len());
            let expected = |(at, event): (usize, &Event)| event.seq == at as u64 + 1;
            assert!(found.iter().enumerate().all(expected), "round {round}: {run}");
        }
        assert_eq!(texts(&journal), [""; 0], "round {round}");
    }
    assert!(upto(&path) > 100);
}
