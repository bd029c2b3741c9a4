//! A run that is refused, taken over or long over leaves what there is to whom it belongs.

use std::process::{Child, Command};

use super::publisher::Publisher;
use super::user::{Screen, User, eventually, greeting};

by_both_drives! {
    a_run_that_was_given_up_leaves_the_environment,
    a_run_that_another_process_drives_leaves_the_environment,
    a_run_that_was_taken_over_leaves_the_environment,
    an_older_run_leaves_the_environment,
}

fn a_run_that_was_given_up_leaves_the_environment(user: &User) {
    user.provision(&["--crash-at", "open-tofu-plan", "--id", "first"]);
    assert_eq!(user.provision(&[]).code, Some(0));
    let before = user.read("environment.json");
    let screen = user.provision(&["--resume", "first"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run first was abandoned");
    gives_no_advice(&screen);
    assert_eq!(user.read("environment.json"), before);
    assert_eq!(user.configure(&[]).code, Some(0));
}

fn a_run_that_another_process_drives_leaves_the_environment(user: &User) {
    let mut first = boots(user, "first");
    let before = user.read("environment.json");
    let screen = user.provision(&["--resume", "first"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run first is driven by process ");
    gives_no_advice(&screen);
    assert_eq!(user.read("environment.json"), before);
    let screen = user.provision(&["destroy"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("error: run first is driven by process ");
    screen.complains("wait for it, or stop it");
    assert!(user.path("runs.db").exists(), "nothing is removed from below it");
    assert!(first.wait().unwrap().success());
    assert_eq!(user.read_json("environment.json")["state"], "provisioned");
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
}

fn a_run_that_was_taken_over_leaves_the_environment(user: &User) {
    let first = boots(user, "first");
    signal(&first, "STOP");
    let screen = user.provision(&["--resume", "first", "--take-over"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let before = user.read("environment.json");
    signal(&first, "CONT");
    let output = first.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let screen = Screen { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run first was taken over");
    gives_no_advice(&screen);
    assert_eq!(user.read("environment.json"), before);
    assert!(greeting(user.port()).is_some(), "the instance is the new owner's");
}

fn an_older_run_leaves_the_environment(user: &User) {
    assert_eq!(user.provision(&["--id", "first"]).code, Some(0));
    assert_eq!(user.provision(&["--fail-at", "wait-ssh-connectivity", "--id", "second"]).code, Some(1));
    assert_eq!(user.provision(&["--id", "third"]).code, Some(0));
    let before = user.read("environment.json");
    for (run, code, ended) in [
        ("first", 0, "first  completed at cloud-init-wait"),
        ("second", 1, "second  rolled_back at wait-ssh-connectivity"),
    ] {
        let screen = user.provision(&["--resume", run]);
        assert_eq!(screen.code, Some(code), "{screen}");
        assert_eq!(screen.stderr, format!("nothing is left to do: {ended}, and another run came after it\n"));
        assert_eq!(screen.stdout, "");
        assert_eq!(user.read("environment.json"), before);
    }
    // The last one is told of once more.
    let screen = user.provision(&["--resume", "third"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert_eq!(screen.stderr, "nothing is left to do: third  completed at cloud-init-wait\n");
    screen.tells("web-1 answers at ");
    assert_eq!(user.read("environment.json"), before);
}

/// A process that waits for the first boot of its instance.
fn boots(user: &User, run: &str) -> Child {
    let first = user.command("provision", &["--boot-seconds", "4", "--id", run]).spawn().unwrap();
    eventually("the instance boots", || user.path("build/ansible/variables.json").exists());
    eventually("the instance answers", || greeting(user.port()).is_some());
    first
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

fn gives_no_advice(screen: &Screen) {
    for advice in ["go on with it", "end it", "taken back; "] {
        assert!(!screen.stderr.contains(advice), "{screen}");
    }
}

#[test]
fn a_deployment_that_was_taken_back_is_told_of_once_more() {
    let user = User::new();
    for arguments in [&["shop", "1.0.0"][..], &["shop", "2.0.0", "--id", "second", "--fail-at", "health-check"]] {
        user.deploy(arguments);
    }
    let screen = user.deploy(&["--resume"]);
    user.deploy(&["stop"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("nothing is left to do: second  rolled_back at health-check\n");
    screen.complains("step 8/8 `health-check` of `deploy` failed (health-check)");
    screen.complains(" answers 200: ");
    assert!(!screen.stderr.contains("outside of its steps"), "{screen}");
}

#[test]
fn a_publication_that_was_taken_back_is_told_of_once_more() {
    let publisher = Publisher::new();
    assert_eq!(publisher.publish(&["docker", "--id", "one", "--fail-at", "health-check"]).code, Some(1));
    let screen = publisher.publish(&["docker", "--resume"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("nothing is left to do: one  rolled_back at health-check\n");
    screen.complains("step 5/6 `health-check` of `docker` failed (health-check)");
    assert!(!screen.stderr.contains("outside of its steps"), "{screen}");
}

#[test]
fn where_nothing_has_run_nothing_can_go_on() {
    let user = User::new();
    for (example, arguments) in
        [("provision", &["--resume"][..]), ("deploy", &["--resume", "one"]), ("publish", &["static", "--resume"])]
    {
        let screen = user.run(example, arguments);
        assert_eq!(screen.code, Some(2), "{screen}");
        screen.complains(" in ");
        screen.complains("demo can go on; start one without --resume\n");
        assert!(!user.path("").exists(), "nothing is made for that");
    }
}

#[test]
fn without_a_journal_a_crash_has_no_way_to_go_on() {
    let user = User::new();
    let screen = user.provision(&["--journal", "none", "--crash-at", "open-tofu-plan"]);
    assert_eq!(screen.stderr, "died at open-tofu-plan; nothing of it was kept, so it cannot go on\n");
}

#[test]
fn an_id_that_begins_with_a_dash_can_be_typed_as_it_is_told() {
    let user = User::new();
    let screen = user.provision(&["--id=-x", "--crash-at", "open-tofu-plan"]);
    screen.complains("--resume=-x --dir demo\n");
    assert_eq!(user.provision(&["--resume=-x"]).code, Some(0));
}

#[test]
fn a_service_is_not_ended_while_a_deployment_is_under_way() {
    let user = User::new();
    assert_eq!(user.deploy(&["shop", "1.0.0"]).code, Some(0));
    assert_eq!(user.deploy(&["release", "2.0.0", "--warm-up", "3"]).code, Some(0));
    let mut second = user.command("deploy", &["shop", "2.0.0", "--id", "second"]).spawn().unwrap();
    let has_begun = || {
        user.journal()
            .is_some_and(|journal| journal.load(&"second".into()).wait().is_ok_and(|events| !events.is_empty()))
    };
    eventually("the deployment has begun", has_begun);
    let screen = user.deploy(&["stop"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("error: run second is driven by process ");
    assert!(second.wait().unwrap().success());
    assert_eq!(user.deploy(&["stop"]).code, Some(0));
}
