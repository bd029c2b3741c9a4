//! The two drives of `provision` side by side: they tell the same of the same run.

use serde_json::Value;
use step_machine::Workflow;
use step_machine_examples::steps::ProvisionStep;

use super::user::{Screen, User};

#[test]
fn a_run_that_completes_is_the_same() {
    tell_the_same(&[]);
}

#[test]
fn a_run_that_skips_is_the_same() {
    tell_the_same(&["--no-cloud-init"]);
}

#[test]
fn a_run_that_fails_is_the_same_at_every_step() {
    for step in ProvisionStep::steps() {
        tell_the_same(&["--fail-at", step.id()]);
    }
}

#[test]
fn a_run_that_is_not_taken_back_is_the_same() {
    tell_the_same(&["--no-rollback", "--fail-at", "cloud-init-wait"]);
}

/// Both drives end alike, and their events are the same to the letter, times, places and ports aside.
fn tell_the_same(arguments: &[&str]) {
    let [machine, runner] = ["machine", "runner"].map(|drive| {
        let user = User::driving(drive);
        let screen = user.provision(&[&["--id", "same", "--format", "json"], arguments].concat());
        (screen.code, told(&user, &screen), user.read_json("environment.json")["state"].clone())
    });
    assert_eq!(machine.0, runner.0);
    assert_eq!(machine.1.len(), runner.1.len());
    for (machine, runner) in machine.1.into_iter().zip(runner.1) {
        assert_eq!(machine, runner);
    }
    assert_eq!(machine.2, runner.2);
}

fn told(user: &User, screen: &Screen) -> Vec<String> {
    let home = user.path("").parent().unwrap().display().to_string();
    // Without user data there was no port to tell.
    let port = user.path("build/tofu/user-data.json").exists().then(|| user.port().to_string());
    let lines = screen.stdout.lines().map(|line| {
        let event = lasting(serde_json::from_str(line).unwrap()).to_string().replace(&home, "HOME");
        // An instance that is gone refuses, or resets what it had accepted as it went.
        let event = event.replace("Connection reset by peer (os error 104)", "Connection refused (os error 111)");
        port.iter().fold(event, |event, port| event.replace(port, "PORT"))
    });
    lines.collect()
}

/// What is the same from run to run.
fn lasting(mut told: Value) -> Value {
    match &mut told {
        Value::Object(fields) => {
            fields.retain(|name, _| !is_different(name));
            fields.values_mut().for_each(|value| *value = lasting(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = lasting(item.take())),
        _ => {}
    }
    told
}

fn is_different(name: &str) -> bool {
    // Without a rollback the runner is given another rule, while the machine is not called to roll back.
    name == "at" || name.ends_with("_at") || name.ends_with("_ms") || name == "on_failure"
}
