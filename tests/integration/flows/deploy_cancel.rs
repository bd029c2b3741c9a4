//! Ctrl-C while `deploy` waits for a service that takes its time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::time::Duration;

use step_machine::event::{RunStatus, StepStatus, UndoStatus};
use step_machine::{FailureContext, Undo};
use step_machine_examples::steps::DeployStep;

use super::deploy_site::{deployed, is_valid, names, nothing_runs, runs};
use super::user::{Screen, User, eventually};

/// Deploys a version whose service takes `seconds`, and presses Ctrl-C so often while it does.
pub(super) fn cancelled(user: &User, seconds: u8, times: usize, arguments: &[&str]) -> Screen {
    assert_eq!(user.deploy(&["release", "2.0.0", "--warm-up", &seconds.to_string()]).code, Some(0));
    let mut child =
        user.command("deploy", &[&["shop", "2.0.0", "--format", "json"], arguments].concat()).spawn().unwrap();
    let wanted = || fs::read_to_string(user.path("wanted.json")).is_ok_and(|wanted| wanted.contains("releases/2.0.0"));
    eventually("the service is being started", wanted);
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut complaint = String::new();
    stderr.read_line(&mut complaint).unwrap();
    assert!(complaint.contains("what is running is finished first"), "{complaint}");
    (1..times).for_each(|_| interrupt(&child));
    let output = child.wait_with_output().unwrap();
    stderr.read_to_string(&mut complaint).unwrap();
    Screen { code: output.status.code(), stdout: String::from_utf8(output.stdout).unwrap(), stderr: complaint }
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_first_one_lets_the_step_finish_and_takes_it_back() {
    let user = deployed(&["1.0.0"]);
    let screen = cancelled(&user, 4, 1, &[]);
    assert_eq!(screen.code, Some(130), "{screen}");
    is_valid(&screen);
    let state = screen.state();
    let step = state.step("start-service").unwrap();
    assert_eq!((state.status(), step.before_undo()), (RunStatus::RolledBack, Some(StepStatus::Completed)));
    assert_eq!(step.undo(), Undo::Ended(UndoStatus::Undone));
    let failure = FailureContext::<DeployStep>::from_record(screen.failure()).unwrap();
    assert_eq!(failure.kind(), "cancelled");
    assert_eq!(failure.never_ran().collect::<Vec<_>>(), [DeployStep::HealthCheck]);
    screen.complains("answers 200: shop 1.0.0 is well");
    runs(&user, "1.0.0");
    assert_eq!(names(&user, "releases"), ["1.0.0"]);
}

#[test]
fn the_second_one_cuts_the_step_off() {
    let user = deployed(&["1.0.0"]);
    // Nearly as long as the step may take.
    let screen = cancelled(&user, 14, 2, &[]);
    assert_eq!(screen.code, Some(130), "{screen}");
    is_valid(&screen);
    let state = screen.state();
    let step = state.step("start-service").unwrap();
    assert_eq!(step.before_undo(), Some(StepStatus::Cancelled));
    assert!(step.duration().unwrap() < Duration::from_secs(13), "the step was not cut off: {screen}");
    assert_eq!(step.undo(), Undo::Ended(UndoStatus::Undone));
    runs(&user, "1.0.0");
}

#[test]
fn without_a_rollback_the_new_version_stays() {
    let user = deployed(&["1.0.0"]);
    let screen = cancelled(&user, 4, 1, &["--no-rollback"]);
    assert_eq!(screen.code, Some(130), "{screen}");
    assert_eq!(screen.run_end().status, RunStatus::Cancelled);
    screen.complains("nothing was taken back");
    runs(&user, "2.0.0");
}

#[test]
fn one_deployment_at_a_time_and_one_that_is_killed_is_no_hindrance() {
    let user = deployed(&["1.0.0"]);
    assert_eq!(user.deploy(&["release", "2.0.0", "--warm-up", "14"]).code, Some(0));
    let mut child = user.command("deploy", &["shop", "2.0.0"]).spawn().unwrap();
    let wanted = || fs::read_to_string(user.path("wanted.json")).is_ok_and(|wanted| wanted.contains("releases/2.0.0"));
    eventually("the service is being started", wanted);
    let screen = user.deploy(&["shop", "3.0.0"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains(" is driven by process ");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the service was told to end", || user.deploy(&["stop"]).code == Some(0));
    nothing_runs(&user);
    let screen = user.deploy(&["shop", "3.0.0"]);
    assert_eq!(screen.code, Some(0), "{screen}");
}
