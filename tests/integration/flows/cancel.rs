//! Ctrl-C while `provision` waits, by either drive: real signals, and commands that take their time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::time::{Duration, Instant};

use step_machine::event::{Effect, Reason, RunStatus, StepStatus, UndoStatus};
use step_machine::journal::RunQuery;
use step_machine::{StepState, Undo};
use step_machine_examples::steps::ProvisionStep;
use tempfile::TempDir;

use super::user::{Screen, User, assert_gone, eventually, greeting, path_with, program};

/// For ever, as far as a test is concerned.
const AGES: u64 = 600;

/// Much longer than what is cut off takes to end, and much shorter than what is not.
const SOON: Duration = Duration::from_secs(60);

/// What the runner's drive says to the first Ctrl-C.
const HEARD: &str = "what is running is finished first";

by_both_drives! { without_a_rollback_the_instance_stays, a_rollback_goes_on_after_a_ctrl_c }

/// A `provision` that goes on, and what it said so far.
struct Running {
    child: Child,
    stdout: (String, BufReader<ChildStdout>),
    stderr: (String, BufReader<ChildStderr>),
    begun: Instant,
    _tools: TempDir,
}

impl Running {
    fn start(mut command: Command, tools: TempDir) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (stdout, stderr) = ((String::new(), stdout), (String::new(), stderr));
        Self { child, stdout, stderr, begun: Instant::now(), _tools: tools }
    }

    /// Has a `tofu` that takes `seconds` more when it is done with `verb`, and waits until it comes to that.
    fn dawdling(user: &User, verb: &str, seconds: u64, arguments: &[&str]) -> Self {
        let tools = tofu_that_dawdles(verb, seconds);
        let mut command = user.command("provision", &[arguments, &["--tofu"]].concat());
        command.env("PATH", path_with(tools.path()));
        let running = Self::start(command, tools);
        eventually("the tofu dawdles", || dawdler(user).is_some());
        running
    }

    fn ctrl_c(&self) {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Presses Ctrl-C once, and once more when that was heard.
    fn ctrl_c_twice(&mut self) {
        self.ctrl_c();
        read_until(&mut self.stderr, HEARD);
        self.ctrl_c();
    }

    fn end(mut self) -> Screen {
        self.stdout.1.read_to_string(&mut self.stdout.0).unwrap();
        self.stderr.1.read_to_string(&mut self.stderr.0).unwrap();
        let code = self.child.wait().unwrap().code();
        Screen { code, stdout: self.stdout.0, stderr: self.stderr.0 }
    }

    /// [`end`](Self::end), of a run that was not to wait for what it was in.
    fn end_soon(self) -> Screen {
        let begun = self.begun;
        let screen = self.end();
        assert!(begun.elapsed() < SOON, "{screen}");
        screen
    }
}

/// Reads line by line, up to one that contains `text`.
fn read_until((said, lines): &mut (String, impl BufRead), text: &str) {
    while !said.contains(text) {
        assert_ne!(lines.read_line(said).unwrap(), 0, "`{text}` was never said:\n{said}");
    }
}

fn tofu_that_dawdles(verb: &str, seconds: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    let real = folder.path().join("real/tofu");
    symlink(program("provision"), &real).unwrap();
    let script = folder.path().join("tofu");
    let text = format!(
        "#!/bin/sh\n'{}' \"$@\" || exit 1\n[ \"$1\" = {verb} ] || exit 0\necho $$ > dawdler\nexec sleep {seconds}\n",
        real.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The process that dawdles.
fn dawdler(user: &User) -> Option<String> {
    fs::read_to_string(user.path("build/tofu/dawdler")).ok().filter(|pid| pid.ends_with('\n'))
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success()
}

/// No process works on the environment any more.
fn assert_nothing_left(user: &User) {
    let place = user.path("").display().to_string();
    eventually("all processes are gone", || {
        Command::new("pgrep").args(["-f", &place]).output().unwrap().stdout.is_empty()
    });
}

fn apply(screen: &Screen) -> StepState {
    screen.state().step("open-tofu-apply").unwrap().clone()
}

/// The run was taken back by its undo, and ended by a Ctrl-C.
fn is_undone(user: &User, screen: &Screen, port: u16) {
    assert_eq!(screen.code, Some(130), "{screen}");
    assert_eq!(screen.run_end().status, RunStatus::RolledBack);
    assert_eq!(apply(screen).undo(), Undo::Ended(UndoStatus::Undone));
    assert_eq!(user.stored_failure().kind(), "cancelled");
    screen.complains("\ncancelled 20");
    screen.complains("what it had created is gone");
    assert_gone(port);
    assert!(!user.path("instance").exists());
    assert_nothing_left(user);
}

#[test]
fn the_machine_ends_the_command_and_the_instance() {
    let user = User::driving("machine");
    let running = Running::dawdling(&user, "apply", AGES, &["--format", "json"]);
    let (port, pid) = (user.port(), dawdler(&user).unwrap());
    assert!(greeting(port).is_some());
    running.ctrl_c();
    let screen = running.end_soon();
    assert_eq!(screen.code, Some(130), "{screen}");
    assert_gone(port);
    assert_nothing_left(&user);
    eventually("the command is gone", || !is_alive(&pid));
    assert_eq!(screen.run_end().status, RunStatus::Cancelled);
    let step = apply(&screen);
    assert_eq!((step.status(), step.reason()), (StepStatus::Cancelled, Some(Reason::Dropped)));
    let stored = user.stored_failure();
    assert_eq!((stored.step(), stored.kind()), (Some(ProvisionStep::OpenTofuApply), "cancelled"));
    assert_eq!(stored.record().error.effect, Effect::Unknown);
    assert_eq!(stored.never_ran().count(), 4);
    screen.complains("what it had created is gone");
}

#[test]
fn the_runner_lets_the_step_finish() {
    let user = User::driving("runner");
    let running = Running::dawdling(&user, "apply", 1, &["--format", "json"]);
    let port = user.port();
    running.ctrl_c();
    let screen = running.end();
    screen.complains(HEARD);
    is_undone(&user, &screen, port);
    let ended = apply(&screen);
    assert_eq!((ended.before_undo(), ended.attempts()), (Some(StepStatus::Completed), 1));
    let stored = user.stored_failure();
    assert_eq!((stored.step(), stored.never_ran().count()), (None, 4));
}

#[test]
fn the_runner_cuts_the_step_off_at_the_second() {
    let user = User::driving("runner");
    let mut running = Running::dawdling(&user, "apply", AGES, &["--format", "json"]);
    let (port, pid) = (user.port(), dawdler(&user).unwrap());
    running.ctrl_c_twice();
    let screen = running.end_soon();
    eventually("the command is gone", || !is_alive(&pid));
    is_undone(&user, &screen, port);
    assert_eq!(apply(&screen).before_undo(), Some(StepStatus::Cancelled));
    let stored = user.stored_failure();
    assert_eq!((stored.step(), stored.never_ran().count()), (Some(ProvisionStep::OpenTofuApply), 4));
    assert_eq!(stored.record().error.effect, Effect::Unknown);
}

#[test]
fn the_runner_cuts_a_first_boot_off_at_the_second() {
    let user = User::driving("runner");
    let command = user.command("provision", &["--format", "json", "--boot-seconds", "9"]);
    let mut running = Running::start(command, tempfile::tempdir().unwrap());
    read_until(&mut running.stdout, r#""type":"step_start","step":"cloud-init-wait""#);
    let (port, begun) = (user.port(), Instant::now());
    running.ctrl_c_twice();
    let screen = running.end();
    assert!(begun.elapsed() < Duration::from_secs(6), "{screen}");
    is_undone(&user, &screen, port);
    assert_eq!(screen.state().step("cloud-init-wait").unwrap().status(), StepStatus::Cancelled);
}

fn without_a_rollback_the_instance_stays(user: &User) {
    let running = Running::dawdling(user, "apply", 1, &["--no-rollback"]);
    let port = user.port();
    running.ctrl_c();
    let screen = running.end();
    assert_eq!(screen.code, Some(130), "{screen}");
    screen.tells("5/9  OpenTofu apply");
    screen.complains("nothing was taken back");
    assert!(greeting(port).is_some());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_gone(port);
    assert_nothing_left(user);
}

fn a_rollback_goes_on_after_a_ctrl_c(user: &User) {
    let arguments = ["--format", "json", "--fail-at", "get-instance-info"];
    let running = Running::dawdling(user, "destroy", 1, &arguments);
    running.ctrl_c();
    let screen = running.end();
    // It had failed before.
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!(screen.run_end().status, RunStatus::RolledBack);
    assert_eq!(user.stored_failure().step(), Some(ProvisionStep::GetInstanceInfo));
    assert_gone(user.port());
    assert_nothing_left(user);
}

/// From now on the journal takes nothing more.
fn refuse(user: &User) {
    let journal = rusqlite::Connection::open(user.path("runs.db")).unwrap();
    journal.busy_timeout(SOON).unwrap();
    for what in ["INSERT", "UPDATE"] {
        let trigger = format!("CREATE TRIGGER full_{what} BEFORE {what} ON record BEGIN");
        journal.execute_batch(&format!("{trigger} SELECT RAISE(ABORT, 'no room is left'); END")).unwrap();
    }
}

#[test]
fn a_cancel_that_the_journal_does_not_take_leaves_all_as_it_is() {
    let user = User::driving("machine");
    let running = Running::dawdling(&user, "apply", AGES, &["--id", "web"]);
    let port = user.port();
    refuse(&user);
    running.ctrl_c();
    let screen = running.end_soon();
    assert_eq!(screen.code, Some(130), "{screen}");
    screen.complains("error: the journal does not have that the run was cancelled: run web: its journal could not be ");
    screen.complains("no room is left");
    screen.complains("go on with it: cargo run --example provision -- --resume web --dir demo\n");
    screen.complains("nothing was taken back; end it: cargo run --example provision -- destroy --dir demo\n");
    assert!(greeting(port).is_some());
    let summary = user.journal().unwrap().list(&RunQuery::of("web")).wait().unwrap().pop().unwrap();
    assert_eq!((summary.status, summary.phase.as_deref()), (RunStatus::Running, Some("open-tofu-apply")));
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_gone(port);
    assert_nothing_left(&user);
}

#[test]
fn a_rollback_that_the_journal_does_not_take_leaves_all_as_it_is() {
    let user = User::driving("runner");
    let mut running = Running::dawdling(&user, "apply", AGES, &[]);
    let port = user.port();
    refuse(&user);
    running.ctrl_c_twice();
    let screen = running.end_soon();
    assert_eq!(screen.code, Some(130), "{screen}");
    screen.complains("no room is left");
    screen.complains("not everything was taken back; end it: cargo run --example provision -- destroy --dir demo\n");
    assert!(!screen.stderr.contains("is gone"), "{screen}");
    assert!(greeting(port).is_some());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_gone(port);
    assert_nothing_left(&user);
}

#[test]
fn the_runner_cuts_a_rollback_off_at_the_second() {
    let user = User::driving("runner");
    let arguments = ["--format", "json", "--fail-at", "get-instance-info"];
    let mut running = Running::dawdling(&user, "destroy", AGES, &arguments);
    let pid = dawdler(&user).unwrap();
    running.ctrl_c_twice();
    let screen = running.end_soon();
    eventually("the command is gone", || !is_alive(&pid));
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!(screen.run_end().status, RunStatus::Stuck);
    assert_eq!(apply(&screen).undo(), Undo::Ended(UndoStatus::UndoFailed));
    screen.complains("not everything was taken back; end it: cargo run --example provision -- destroy --dir demo");
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_nothing_left(&user);
}
