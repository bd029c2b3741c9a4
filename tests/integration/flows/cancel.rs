//! Ctrl-C while `provision` waits for a command that hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command};

use step_machine::event::{Effect, Reason, RunStatus, StepStatus};
use step_machine_examples::steps::ProvisionStep;
use tempfile::TempDir;

use super::user::{Screen, User, assert_gone, eventually, greeting, path_with, program};

/// A `tofu` that does what it should, and hangs when it is done with `apply`.
fn tofu_that_hangs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    let real = folder.path().join("real/tofu");
    symlink(program("provision"), &real).unwrap();
    let script = folder.path().join("tofu");
    let text = format!(
        "#!/bin/sh\n'{}' \"$@\" || exit 1\n[ \"$1\" = apply ] || exit 0\necho $$ > hanging\nexec sleep 600\n",
        real.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs `provision` until it hangs in `apply`, presses Ctrl-C, and gives back the screen.
fn cancelled(user: &User, arguments: &[&str]) -> (Screen, u16, String) {
    let tofu = tofu_that_hangs();
    let mut command = user.command("provision", arguments);
    command.arg("--tofu").env("PATH", path_with(tofu.path()));
    let child = command.spawn().unwrap();
    eventually("the apply hangs", || {
        fs::read_to_string(user.path("build/tofu/hanging")).is_ok_and(|pid| !pid.is_empty())
    });
    let (port, pid) = (user.port(), user.read("build/tofu/hanging"));
    assert!(greeting(port).is_some());
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let screen = Screen {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    (screen, port, pid)
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success()
}

#[test]
fn it_ends_the_command_and_the_instance() {
    let user = User::new();
    let (screen, port, pid) = cancelled(&user, &["--format", "json"]);
    assert_eq!(screen.code, Some(130), "{screen}");
    assert_gone(port);
    eventually("the command is gone", || !is_alive(&pid));
    assert_eq!(screen.run_end().status, RunStatus::Cancelled);
    let state = screen.state();
    let step = state.step("open-tofu-apply").unwrap();
    assert_eq!((step.status(), step.reason()), (StepStatus::Cancelled, Some(Reason::Dropped)));
    let stored = user.stored_failure();
    assert_eq!((stored.step(), stored.kind()), (Some(ProvisionStep::OpenTofuApply), "cancelled"));
    assert_eq!(stored.record().error.effect, Effect::Unknown);
    assert_eq!(stored.never_ran().count(), 4);
    screen.complains("what it had created is gone");
}

#[test]
fn without_a_rollback_the_instance_stays() {
    let user = User::new();
    let (screen, port, _) = cancelled(&user, &["--no-rollback"]);
    assert_eq!(screen.code, Some(130), "{screen}");
    screen.tells("5/9  OpenTofu apply");
    screen.complains("nothing was taken back");
    assert!(greeting(port).is_some());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_gone(port);
}
