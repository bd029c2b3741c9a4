//! A journal that may be read and not written. Rights do not hold for the superuser, so what is tried is tried as nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use step_machine::event::RunStatus;
use step_machine::journal::{Append, Claim, RunQuery};
use step_machine::{Journal, SqliteJournal};
use tempfile::TempDir;

use super::user::{Screen, eventually, program};
use crate::sqlite::events;

/// Who owns nothing; on every system the last number of 16 bits but one, or another without any right.
const NOBODY: u32 = 65_534;

/// Somebody who is not the superuser, with a folder of its own and a journal in another one below it.
struct Guest {
    home: TempDir,
    is_other: bool,
}

impl Guest {
    /// One who has a run in the journal.
    fn with_a_run() -> Self {
        let home = tempfile::tempdir().unwrap();
        let guest = Self { is_other: fs::metadata(home.path()).unwrap().uid() == 0, home };
        fs::create_dir(guest.path("keep")).unwrap();
        for path in ["", "keep"] {
            guest.may(path, 0o755);
            if guest.is_other {
                chown(guest.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let screen = guest.publish(&["--id", "first"]);
        assert_eq!(screen.code, Some(0), "{screen}");
        assert_eq!(guest.in_folder(), ["runs.db"]);
        guest
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn may(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
    }

    /// A program, run by the guest.
    fn run(&self, program: &Path, arguments: &[&str]) -> Screen {
        Screen::of(self.command(program, arguments))
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        // The guest need not get to where it was built.
        let here = self.path(program.file_name().unwrap().to_str().unwrap());
        if program.is_absolute() && !here.exists() {
            // By another process: one that is forked here meanwhile would hold it open to write, and then it cannot be run.
            assert!(Command::new("cp").arg(program).arg(&here).status().unwrap().success());
        }
        let mut command = Command::new(if program.is_absolute() { &here } else { program });
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command.env("HOME", self.home.path()).env_remove("STEP_MACHINE_JOURNAL").env_remove("STEP_MACHINE_SCHEMA");
        if self.is_other {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn publish(&self, arguments: &[&str]) -> Screen {
        let common = ["source", "--dir", "demo", "--journal", "keep/runs.db"];
        self.run(program("publish"), &[&common, arguments].concat())
    }

    fn look(&self, arguments: &[&str]) -> Screen {
        self.run(crate::cli::program(), &[&["--journal", "keep/runs.db"], arguments].concat())
    }

    fn in_folder(&self) -> Vec<String> {
        super::deploy_site::names_in(&self.path("keep"))
    }

    /// Fails where the guest may write after all: nothing would be tried then.
    fn cannot(&self, what: &str) {
        let screen = self.run(Path::new("sh"), &["-c", what]);
        assert_ne!(screen.code, Some(0), "{what} is possible");
        assert!(screen.stderr.to_lowercase().contains("permission denied"), "{screen}");
    }

    /// Asserts that no run can begin, that this says what to do, and that nothing has changed.
    fn is_refused(&self, advice: &str) {
        let before = (fs::read(self.path("keep/runs.db")).unwrap(), self.in_folder());
        for arguments in [["--id", "second"], ["--resume", "first"]] {
            let screen = self.publish(&arguments);
            assert_eq!(screen.code, Some(1), "{screen}");
            screen.complains("error: the journal ");
            screen.complains(advice);
        }
        assert_eq!((fs::read(self.path("keep/runs.db")).unwrap(), self.in_folder()), before);
    }

    /// Asserts that the run can be looked at.
    fn is_readable(&self) {
        let before = (fs::read(self.path("keep/runs.db")).unwrap(), self.in_folder());
        let screen = self.look(&["runs"]);
        assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
        screen.tells("first");
        let screen = self.look(&["show", "first"]);
        assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
        screen.tells("pull-source");
        let screen = self.look(&["check"]);
        assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
        // A log that the guest left there would keep others from writing.
        assert_eq!((fs::read(self.path("keep/runs.db")).unwrap(), self.in_folder()), before);
    }

    /// Asserts that it can be written again, and that nothing was lost.
    fn is_writable_again(&self) {
        for arguments in [["--resume", "first"], ["--id", "second"]] {
            let screen = self.publish(&arguments);
            assert_eq!(screen.code, Some(0), "{screen}");
        }
        let journal = SqliteJournal::open(self.path("keep/runs.db")).unwrap();
        let runs = journal.list(&RunQuery::all()).wait().unwrap();
        let runs: Vec<_> = runs.into_iter().map(|run| (run.run.to_string(), run.status)).collect();
        assert_eq!(runs, ["second", "first"].map(|run| (run.to_owned(), RunStatus::Cancelled)));
        assert!(journal.check().wait().unwrap().is_empty());
    }
}

#[test]
fn a_file_that_may_only_be_read_takes_no_run_and_can_be_looked_into() {
    let guest = Guest::with_a_run();
    guest.may("keep/runs.db", 0o444);
    guest.cannot(": >> keep/runs.db");
    let advice =
        "see that the file, its directory, and `-wal` and `-shm` beside it may be written to, or open it only to read";
    guest.is_refused(advice);
    guest.is_readable();
    guest.may("keep/runs.db", 0o644);
    guest.is_writable_again();
}

#[test]
fn a_folder_that_may_only_be_read_takes_no_run_and_can_be_looked_into() {
    let guest = Guest::with_a_run();
    for mode in [0o644, 0o444] {
        guest.may("keep/runs.db", mode);
        guest.may("keep", 0o555);
        guest.cannot(": > keep/other");
        guest.is_refused("may be written to");
        guest.is_readable();
        guest.may("keep", 0o755);
    }
    guest.may("keep/runs.db", 0o644);
    guest.is_writable_again();
}

#[test]
fn a_file_that_may_not_be_read_is_told_of_as_that() {
    let guest = Guest::with_a_run();
    let is_told = || {
        for arguments in [&["runs"][..], &["prune", "--older-than", "1d"]] {
            let screen = guest.look(arguments);
            assert_eq!(screen.code, Some(4), "{screen}");
            screen.complains(
                "keep/runs.db cannot be used: see that you may read the file: it is there, and cannot be opened\n",
            );
        }
    };
    guest.may("keep/runs.db", 0o000);
    guest.cannot("cat keep/runs.db");
    is_told();
    // Also as long as somebody has it open, with a log beside it.
    let journal = SqliteJournal::open(guest.path("keep/runs.db"));
    if guest.is_other {
        let journal = journal.unwrap();
        let run = journal.claim(&Claim::of("third")).wait().unwrap();
        journal.append(Append::new(&run.lease, &events("third", 2))).wait().unwrap();
        guest.may("keep/runs.db-wal", 0o644);
        is_told();
    }
    guest.may("keep/runs.db", 0o644);
}

#[test]
fn a_folder_that_may_not_be_entered_is_not_taken_for_an_empty_one() {
    let guest = Guest::with_a_run();
    guest.may("keep", 0o600);
    guest.cannot("cat keep/runs.db");
    for arguments in [&["runs"][..], &["prune", "--older-than", "1d"]] {
        let screen = guest.look(arguments);
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(4), ""), "{screen}");
        screen.complains("the journal keep/runs.db cannot be looked at: Permission denied");
        screen.complains("; see that you may enter its folder\n");
    }
    guest.may("keep", 0o755);
    guest.is_writable_again();
}

#[test]
fn what_stands_in_the_log_of_a_folder_that_may_only_be_read_is_never_left_out() {
    let guest = Guest::with_a_run();
    let journal = SqliteJournal::open(guest.path("keep/runs.db")).unwrap();
    let run = journal.claim(&Claim::of("third")).wait().unwrap();
    journal.append(Append::new(&run.lease, &events("third", 2))).wait().unwrap();
    for name in guest.in_folder() {
        guest.may(&format!("keep/{name}"), if name.ends_with("-owners") { 0o555 } else { 0o444 });
    }
    guest.may("keep", 0o555);
    guest.cannot(": > keep/other");
    // As long as somebody has it open it can be read together with the log.
    let screen = guest.look(&["runs"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("third");
    // What a process that was killed leaves, but for what only processes that live share.
    guest.may("keep", 0o755);
    fs::create_dir(guest.path("keep/left")).unwrap();
    for name in ["runs.db", "runs.db-wal"] {
        fs::copy(guest.path(&format!("keep/{name}")), guest.path(&format!("keep/left/{name}"))).unwrap();
    }
    drop(journal);
    guest.may("keep/left", 0o555);
    let screen = guest.run(crate::cli::program(), &["--journal", "keep/left/runs.db", "runs"]);
    assert_eq!(screen.code, Some(4), "{screen}");
    screen.complains("copy it and its log (`-wal`) to a folder that may be written to, and look into it there");
    guest.may("keep/left", 0o755);
    let found = SqliteJournal::open_read_only(guest.path("keep/left/runs.db")).unwrap();
    assert_eq!(found.load(&"third".into()).wait().unwrap(), events("third", 2));
}

#[test]
fn who_looks_into_a_file_that_nobody_writes_to_sees_when_somebody_does() {
    let guest = Guest::with_a_run();
    let path = guest.path("keep/runs.db");
    let write = |from: usize, to: u64| {
        let journal = SqliteJournal::open(&path).unwrap();
        let lease = journal.claim(&Claim::of("third")).wait().unwrap().lease;
        journal.append(Append::new(&lease, &events("third", to)[from..])).wait().unwrap();
    };
    write(0, 2);
    guest.may("keep/runs.db", 0o444);
    let (program, out) = (crate::cli::program(), guest.path("out"));
    let mut tail = guest.command(program, &["--journal", "keep/runs.db", "tail", "third", "--from-start", "--json"]);
    let _tail = Killed(tail.stdout(fs::File::create(&out).unwrap()).spawn().unwrap());
    let told = || fs::read_to_string(&out).unwrap().lines().count();
    eventually("what there is is told", || told() == 2);
    guest.may("keep/runs.db", 0o644);
    for number in 3..6 {
        write(number - 1, number as u64);
        eventually("what came is told", || told() == number);
    }
}

#[test]
fn what_another_user_drives_is_seen_to_be_driven() {
    let guest = Guest::with_a_run();
    let journal = SqliteJournal::open(guest.path("keep/runs.db")).unwrap();
    let run = journal.claim(&Claim::of("third")).wait().unwrap();
    journal.append(Append::new(&run.lease, &events("third", 2))).wait().unwrap();
    // As a group shares a folder, but for the file of the owner, which is as that user's other files.
    guest.may("keep", 0o777);
    for name in guest.in_folder() {
        guest.may(&format!("keep/{name}"), if name.ends_with("-owners") { 0o777 } else { 0o666 });
    }
    let owner = fs::read_dir(guest.path("keep/runs.db-owners")).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&owner, Permissions::from_mode(0o444)).unwrap();
    guest.cannot(&format!(": >> {}", owner.display()));
    let screen = guest.look(&["abandon", "third", "--why", "it hangs"]);
    assert_eq!(screen.code, Some(5), "{screen}");
    screen.complains(&format!("run third is driven by process {}", std::process::id()));
    // Also where it drives nothing, as the first claim of another one looks at those.
    journal.release(&run.lease).wait().unwrap();
    let screen = guest.publish(&["--id", "second"]);
    assert_eq!(screen.code, Some(0), "{screen}");
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
