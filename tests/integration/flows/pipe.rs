//! The examples beside a reader that goes away after the first line, as `| head -1` does.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::deploy_site::runs;
use super::publisher::Publisher;
use super::user::{User, greeting};

/// Runs a command into `head -1`: its exit code, and the first line as an event.
fn into_head(mut command: Command) -> (Option<i32>, Value) {
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let head = Command::new("head").arg("-1").stdin(child.stdout.take().unwrap()).output().unwrap();
    assert!(head.status.success());
    let code = child.wait().unwrap().code();
    let lines: Vec<_> = BufReader::new(&*head.stdout).lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 1);
    (code, serde_json::from_str(&lines[0]).unwrap())
}

#[track_caller]
fn is_plan(event: &Value, workflow: &str) {
    assert_eq!((&event["type"], &event["plan"]["workflow"]), (&"run_start".into(), &workflow.into()));
}

#[test]
fn a_run_goes_on_to_its_end_and_has_its_effect() {
    for drive in ["machine", "runner"] {
        let user = User::driving(drive);
        let (code, first) = into_head(user.command("provision", &["--format", "json"]));
        is_plan(&first, "provision");
        assert_eq!((code, &user.read_json("environment.json")["state"]), (Some(0), &"provisioned".into()));
        assert!(greeting(user.port()).is_some());
        let (code, first) = into_head(user.command("configure", &["--format", "json"]));
        is_plan(&first, "configure");
        assert_eq!(code, Some(0));
        assert!(user.read("instance/root/etc/firewall.rules").contains("allow 443/tcp"));
    }
    let user = User::new();
    let (code, first) = into_head(user.command("deploy", &["--format", "json"]));
    is_plan(&first, "deploy");
    assert_eq!(code, Some(0));
    runs(&user, "1.0.0");
    let publisher = Publisher::new();
    let (code, first) = into_head(publisher.user.command("publish", &["static", "--format", "json"]));
    assert_eq!((&first["type"], code), (&"run_start".into(), Some(0)));
    publisher.answers("The shop is open");
}

#[test]
fn a_run_that_fails_says_so_by_its_exit_code_and_is_taken_back() {
    let user = User::driving("runner");
    let (code, first) = into_head(user.command("provision", &["--format", "json", "--fail-at", "get-instance-info"]));
    is_plan(&first, "provision");
    assert_eq!(code, Some(1));
    assert_eq!(user.stored_failure().step().map(|step| format!("{step:?}")), Some("GetInstanceInfo".to_owned()));
    assert!(!user.path("instance").exists());
}
