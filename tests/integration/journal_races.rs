//! Two processes that want the same thing at once: one gets it, the other learns who has it.

use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use step_machine::journal::{Claim, Lease, Owner, Synchronous};
use step_machine::{Journal, JournalError, SqliteJournal};

const VARIABLE: &str = "STEP_MACHINE_TEST_RACE";
/// One run in one round, one name in the next: 200 of each.
const ROUNDS: usize = 400;
/// For a claim that names nothing, as most are.
const NO_NAME: &str = "-";

fn open(place: &str) -> Box<dyn Journal> {
    #[cfg(unix)]
    if let Some((schema, url)) = place.split_once('@').filter(|(_, url)| url.starts_with("postgres:")) {
        let place = crate::postgres::Place { url: url.to_owned(), schema: schema.to_owned() };
        return Box::new(place.open());
    }
    Box::new(SqliteJournal::options().synchronous(Synchronous::Normal).open(place).unwrap())
}

/// The other process: it claims what it reads a line of, and says what came of it.
#[test]
fn claims_what_another_test_asks_for() {
    let Ok(place) = std::env::var(VARIABLE) else { return };
    let journal = open(&place);
    println!("\nready");
    let mut leases = Vec::new();
    for line in stdin().lines() {
        let line = line.unwrap();
        let (run, name) = line.split_once(' ').unwrap();
        println!("\n{}", said(journal.as_ref(), run, name, &mut leases));
    }
}

fn said(journal: &dyn Journal, run: &str, name: &str, leases: &mut Vec<Lease>) -> String {
    let mut claim = Claim::of(run);
    claim.exclusive = (name != NO_NAME).then(|| name.to_owned()).into_iter().collect();
    match journal.claim(&claim).wait() {
        Ok(claimed) => {
            leases.push(claimed.lease);
            format!("won {}", std::process::id())
        }
        Err(JournalError::Owned { owner, .. }) => lost("owned", &owner),
        Err(JournalError::Exclusive { owner, .. }) => lost("exclusive", &owner),
        Err(error) => format!("failed {error:?}"),
    }
}

fn lost(how: &str, owner: &Owner) -> String {
    assert!(!owner.host.is_empty() && owner.since.elapsed().unwrap().as_secs() < 600, "{owner:?}");
    format!("{how} {}", owner.pid)
}

struct Racer {
    process: Child,
    to: ChildStdin,
    from: std::io::Lines<BufReader<ChildStdout>>,
}

impl Racer {
    fn start(place: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["journal_races::claims_what_another_test_asks_for", "--exact", "--nocapture"])
            .env(VARIABLE, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut racer = Self { process, to, from: BufReader::new(from).lines() };
        assert_eq!(racer.answer(), "ready");
        racer
    }

    fn ask(&mut self, run: &str, name: &str) {
        writeln!(self.to, "{run} {name}").unwrap();
        self.to.flush().unwrap();
    }

    /// The next line that is not of the test's own frame.
    fn answer(&mut self) -> String {
        let is_ours =
            |line: &String| ["ready", "won", "owned", "exclusive", "failed"].iter().any(|word| line.starts_with(word));
        self.from.by_ref().map(Result::unwrap).find(is_ours).expect("an answer")
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn race(place: &str) {
    let mut racers = [Racer::start(place), Racer::start(place)];
    let names = racers.each_ref().map(|racer| racer.process.id().to_string());
    let mut won = [0; 2];
    for round in 0..ROUNDS {
        let is_run = round % 2 == 0;
        // Each is asked first in every other round of a kind.
        let first = round / 2 % 2;
        for at in [first, 1 - first] {
            let (run, name) = if is_run { (0, NO_NAME.to_owned()) } else { (at, format!("name-{round}")) };
            racers[at].ask(&format!("run-{round}-{run}"), &name);
        }
        let answers = racers.each_mut().map(Racer::answer);
        let winner = usize::from(!answers[0].starts_with("won"));
        let how = if is_run { "owned" } else { "exclusive" };
        assert_eq!(answers[winner], format!("won {}", names[winner]), "round {round}: {answers:?}");
        assert_eq!(answers[1 - winner], format!("{how} {}", names[winner]), "round {round}: {answers:?}");
        won[winner] += 1;
    }
    assert!(won.iter().all(|won| *won > 0), "nothing was raced for: {won:?}");
}

#[test]
fn one_of_two_processes_gets_a_run_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    race(folder.path().join("runs.db").to_str().unwrap());
}

#[cfg(unix)]
#[test]
fn one_of_two_processes_gets_a_run_in_postgres() {
    let place = crate::postgres::Place::new();
    race(&format!("{}@{}", place.schema, place.url));
}
