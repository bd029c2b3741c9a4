//! Ctrl-C while `publish` waits for git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use step_machine::event::{Reason, StepStatus};

use super::publisher::{Publisher, Told};
use super::user::{Screen, eventually, path_with};

/// Publishes with a `git` that says when it is there and then does `what`, and presses Ctrl-C then: `times` times.
pub(super) fn cancelled(publisher: &Publisher, what: &str, times: usize) -> Told {
    let repository = publisher.repository();
    let tools = publisher.work.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let (script, here) = (tools.join("git"), tools.join("here"));
    fs::write(&script, format!("#!/bin/sh\necho $$ > '{0}.new'\nmv '{0}.new' '{0}'\n{what}\n", here.display()))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["nodejs", "--source", "git", "--repository", &repository, "--format", "json"];
    let mut command = publisher.user.command("publish", &arguments);
    let child = command.env("PATH", path_with(&tools)).spawn().unwrap();
    eventually("git is there", || here.exists());
    for _ in 0..times {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        // Two that come at once are one.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let output = child.wait_with_output().unwrap();
    let pid = fs::read_to_string(here).unwrap();
    let is_alive = || Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success();
    eventually("git is gone", || !is_alive());
    Told::of(Screen {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    })
}

#[test]
fn the_second_one_cuts_the_step_off() {
    let publisher = Publisher::with("docker");
    let told = cancelled(&publisher, "exec sleep 600", 2);
    assert_eq!(told.screen.code, Some(130), "{}", told.screen);
    let state = told.state("/pull-source/source");
    let step = state.step("find").unwrap();
    assert_eq!((step.status(), step.reason()), (StepStatus::Cancelled, Some(Reason::Dropped)));
    assert_eq!((told.failure().error.kind.as_ref(), publisher.processes()), ("cancelled", 2));
    publisher.answers("The shop is open");
    assert!(publisher.entries("sources").is_empty());
}

#[test]
fn the_first_one_waits_for_the_step() {
    let publisher = Publisher::with("docker");
    let told = cancelled(&publisher, "sleep 1; echo 0123456789abcdef HEAD", 1);
    assert_eq!(told.screen.code, Some(130), "{}", told.screen);
    let state = told.state("/pull-source/source");
    assert_eq!(state.step("find").unwrap().status(), StepStatus::Completed);
    assert_eq!(state.step("make-room").unwrap().status(), StepStatus::Pending);
    assert_eq!(told.state("").step("write-dockerfile").unwrap().status(), StepStatus::Pending);
    assert_eq!((told.failure().error.kind.as_ref(), publisher.processes()), ("cancelled", 2));
    publisher.answers("The shop is open");
}
