//! What is waited for, and by whom: counted where the disk is asked for it. And a process that hangs just there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use step_machine::journal::{Claim, RunQuery, Synchronous};
use step_machine::{Journal, JournalError, SqliteJournal, StepContext, Workflow};
use tempfile::TempDir;

use super::{append, claim, events, sql};
use crate::disk::{Call, Disk, Faults};
use crate::flows::user::eventually;
use crate::support::Trouble;

const VARIABLE: &str = "STEP_MACHINE_TEST_DISK";

#[derive(Workflow, Debug)]
enum Many {
    One,
    Two,
    Three,
    Four,
}

struct Nothing;

impl ManyHandler for Nothing {
    type Error = Trouble;

    async fn one(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn two(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn three(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn four(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

/// The other process: so many appends of one run, by the default or without waiting for the disk; or so many claims, or so many
/// runs at once.
#[test]
fn works_where_another_test_asks_for_it() {
    let Ok(asked) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = asked.splitn(3, ' ').collect();
    let (count, path) = (words[1].parse().unwrap(), Path::new(words[2]));
    let journal = match words[0] {
        "normal" => SqliteJournal::options().synchronous(Synchronous::Normal).open(path).unwrap(),
        _ => SqliteJournal::open(path).unwrap(),
    };
    if words[0] == "many" {
        return many(&journal, count);
    }
    if words[0] == "claims" {
        (0..count).for_each(|number| drop(claim(&journal, &format!("run-{number}"))));
        return;
    }
    let (lease, all) = (claim(&journal, "r"), events("r", 100));
    for (number, event) in (1..).zip(all[..count].chunks(1)) {
        append(&journal, &lease, event);
        fs::write(path.with_extension("acknowledged"), format!("{number}")).unwrap();
    }
}

fn many(journal: &SqliteJournal, count: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let runs: Vec<_> = (0..count)
            .map(|number| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    Many::run(&Nothing).start(format!("run-{number}")).journal(journal).await.unwrap();
                })
            })
            .collect();
        for run in runs {
            run.await.unwrap();
        }
    });
}

/// A journal in another process, on a disk that is watched.
struct Watched {
    folder: TempDir,
    disk: Disk,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(&folder.path().join("runs.db"), &folder.path().join("disk.log"));
        Self { folder, disk }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("runs.db")
    }

    fn start(&self, how: &str, count: usize, faults: Faults) -> Other {
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["sqlite::syncs::works_where_another_test_asks_for_it", "--exact"]);
        other.env(VARIABLE, format!("{how} {count} {}", self.path().display())).stdout(Stdio::null());
        self.disk.under(&mut other, faults);
        Other(other.spawn().unwrap())
    }

    /// How often the disk was waited for, file by file.
    fn syncs(how: &str, count: usize) -> BTreeMap<String, usize> {
        let watched = Self::new();
        let mut other = watched.start(how, count, Faults::default());
        assert!(other.0.wait().unwrap().success());
        let mut syncs = BTreeMap::new();
        for call in watched.disk.calls().into_iter().filter(Call::is_sync) {
            *syncs.entry(call.path.file_name().unwrap().to_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(
            sql(&watched.path()).pragma_query_value(None, "journal_mode", |row| row.get(0)),
            Ok("wal".to_owned())
        );
        syncs
    }
}

struct Other(Child);

impl Other {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether a signal has stopped it.
    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    fn goes_on(&self) {
        assert!(Command::new("kill").args(["-s", "CONT", &self.pid().to_string()]).status().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn by_default_each_append_is_waited_for_until_the_disk_has_it() {
    let in_log = |how: &str, count| Watched::syncs(how, count).remove("runs.db-wal").unwrap_or_default();
    let (few, more) = (in_log("default", 5), in_log("default", 45));
    assert_eq!(more - few, 40, "one for each append");
    let (few, more) = (in_log("normal", 5), in_log("normal", 45));
    assert_eq!(more - few, 0, "only where the log begins or ends");
    let (few, more) = (in_log("claims", 6), in_log("claims", 46));
    assert_eq!(more - few, 20, "each second one");
}

#[test]
fn runs_that_append_at_the_same_moment_share_their_commits() {
    let syncs = Watched::syncs("many", 100);
    let (log, steps) = (syncs["runs.db-wal"], 100 * 4);
    println!("{log} waits for the disk, {steps} steps");
    // Each step of a run that is alone is a commit, and so are its begin and its end.
    assert!(log < steps / 2, "{log} waits for {steps} steps");
    let alone = Watched::syncs("many", 1)["runs.db-wal"];
    assert!(alone >= 4, "{alone} waits for a run that is alone");
}

/// A process that was stopped within a commit, as by a debugger, or in a container that was frozen.
fn stopped_in_a_commit(watched: &Watched) -> Other {
    let whole = Watched::new();
    assert!(whole.start("default", 20, Faults::default()).0.wait().unwrap().success());
    let syncs: Vec<_> = whole.disk.calls().into_iter().filter(Call::is_sync).collect();
    let last = syncs.iter().rposition(|call| call.path.ends_with("runs.db-wal")).unwrap();
    // Half of the appends are through.
    let other = watched.start("default", 20, Faults { stopped_at: Some(last - 9), ..Faults::default() });
    eventually("it stops", || other.is_stopped());
    other
}

#[test]
fn who_is_stopped_within_a_commit_keeps_others_from_writing_until_it_is_killed_or_goes_on() {
    for is_killed in [true, false] {
        let watched = Watched::new();
        let mut other = stopped_in_a_commit(&watched);
        let acknowledged = fs::read_to_string(watched.path().with_extension("acknowledged")).unwrap();
        let acknowledged: usize = acknowledged.parse().unwrap();
        assert!((8..12).contains(&acknowledged), "{acknowledged}");
        let options = SqliteJournal::options().busy_timeout(Duration::from_millis(200));
        let journal = options.open(watched.path()).unwrap();
        let Err(JournalError::Write { run, source }) = journal.claim(&Claim::of("s")).wait().map(drop) else {
            panic!("it could be written")
        };
        assert_eq!((run.to_string(), source.to_string()), ("s".to_owned(), "database is locked".to_owned()));
        // To read it is as ever, and tells who it is.
        let found = journal.list(&RunQuery::of("r")).wait().unwrap();
        assert_eq!(found[0].owner.as_ref().map(|owner| owner.pid), Some(other.pid()));
        let kept = journal.load(&"r".into()).wait().unwrap();
        assert_eq!(kept, events("r", acknowledged as u64), "no more than that can be seen yet");

        if is_killed {
            other.0.kill().unwrap();
            other.0.wait().unwrap();
        } else {
            other.goes_on();
            assert!(other.0.wait().unwrap().success());
        }
        let claimed = journal.claim(&Claim::of("r")).wait().unwrap();
        let count = claimed.events.len();
        assert_eq!(claimed.events, events("r", count as u64));
        // What was in the commit may be there, and need not.
        let expected = if is_killed { acknowledged..=acknowledged + 1 } else { 20..=20 };
        assert!(expected.contains(&count), "{count} events, {acknowledged} acknowledged");
        append(&journal, &claimed.lease, &events("r", count as u64 + 1)[count..]);
        drop(journal.claim(&Claim::of("s")).wait().unwrap());
        assert!(journal.check().wait().unwrap().is_empty());
    }
}
