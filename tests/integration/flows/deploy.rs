//! `deploy`: the first version, the next one, and what its options do.

use std::fs;

use step_machine::Workflow;
use step_machine::event::{Kind, Reason, RunStatus, StepStatus};
use step_machine_examples::steps::DeployStep;

use super::deploy_site::{current, deployed, is_valid, names, nothing_runs, page, runs, start_and_end};
use super::user::{Screen, User, eventually};

#[test]
fn the_first_deployment_tells_one_line_a_step_and_leaves_a_service() {
    let user = User::new();
    let screen = user.deploy(&[]);
    assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
    let lines: Vec<&str> = screen.stdout.lines().filter(|line| line.starts_with(['✓', '-'])).collect();
    assert_eq!(lines.len(), 8, "{screen}");
    for (number, (line, step)) in (1..).zip(lines.into_iter().zip(DeployStep::steps())) {
        let mark = if step == DeployStep::BackupCurrentVersion { '-' } else { '✓' };
        assert!(line.starts_with(&format!("{mark} {number}/8  {}", step.info().name)), "{line}");
    }
    assert!(!screen.stdout.contains(['\r', '\x1b']), "nothing moves without a terminal: {screen}");
    screen.tells("skipped: this is the first deployment");
    screen.tells("answers 200: shop 1.0.0 is well");
    runs(&user, "1.0.0");
}

#[test]
fn the_second_deployment_takes_the_place_of_the_first() {
    let user = deployed(&["1.0.0"]);
    let screen =
        user.deploy(&["shop", "2.0.0", "--format", "json", "--id", "shop-2", "--ticket", "OPS-7", "--by", "eve"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    is_valid(&screen);
    runs(&user, "2.0.0");
    assert_eq!(names(&user, "backups"), ["1.0.0.tar.gz"]);
    assert_eq!(names(&user, "releases"), ["1.0.0", "2.0.0"]);
    let mut expected = vec!["run_start ".to_owned()];
    expected.extend(DeployStep::steps().flat_map(start_and_end));
    expected.push("run_end ".to_owned());
    assert_eq!(screen.story(), expected);
    let events = screen.events();
    let Kind::RunStart(start) = &events[0].kind else { panic!("{screen}") };
    assert_eq!((&*start.labels["ticket"], &*start.labels["by"]), ("OPS-7", "eve"));
    assert_eq!(start.input.as_ref().unwrap()["version"], "2.0.0");
    assert!(!screen.stdout.contains(user.read_json("deploy.json")["token"].as_str().unwrap()), "a secret is told");
    let files: Vec<&str> = events.iter().filter_map(tar_line).collect();
    assert_eq!(files.iter().filter(|line| line.ends_with("public/catalogue")).count(), 2, "{files:?}");
}

/// What `tar` says of a file, on whichever output.
fn tar_line(event: &step_machine::Event) -> Option<&str> {
    match &event.kind {
        Kind::Stdout(line) | Kind::Stderr(line) => Some(&*line.line),
        _ => None,
    }
}

#[test]
fn the_same_version_can_be_deployed_again_and_again() {
    let user = deployed(&["1.0.0", "1.0.0"]);
    assert_eq!(page(&user).unwrap(), "shop 1.0.0 is well");
    assert_eq!(current(&user).unwrap(), "1.0.0-again");
    assert_eq!(user.deploy(&[]).code, Some(0));
    runs(&user, "1.0.0");
}

#[test]
#[cfg(unix)]
fn secrets_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let user = deployed(&["1.0.0", "2.0.0"]);
    for file in ["releases/2.0.0/config.json", "backups/1.0.0.tar.gz", "deploy.json"] {
        let mode = fs::metadata(user.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn stop_ends_the_service_and_is_no_error_twice() {
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["stop"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(0), "demo: the service is gone\n"));
    nothing_runs(&user);
    assert_eq!(user.deploy(&["stop"]).stdout, "demo: there is no service\n");
    assert_eq!(user.deploy(&[]).code, Some(0), "what was stopped can be deployed again");
}

#[test]
fn the_service_ends_by_itself_where_its_folder_goes() {
    let user = deployed(&["1.0.0"]);
    let identity = user.read("deploy.json");
    fs::remove_dir_all(user.path("")).unwrap();
    fs::create_dir(user.path("")).unwrap();
    fs::write(user.path("deploy.json"), identity).unwrap();
    eventually("the service is gone", || page(&user).is_none());
}

#[test]
fn a_plan_runs_nothing() {
    let user = User::new();
    let screen = user.deploy(&["--plan"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("deploy: 8 steps, in order");
    screen.tells("? 2/8  Backup current version");
    screen.tells("in this order: Start service, Extract,");
    for (form, text) in [("mermaid", "flowchart TD"), ("dot", "digraph"), ("json", "\"undo_order\"")] {
        user.deploy(&["--plan", form]).tells(text);
    }
    let screen = user.deploy(&["--skip", "backup-current-version", "--only-until", "extract", "--plan"]);
    screen.tells("skipped: --skip was given");
    screen.tells("not reached");
    assert!(!user.path("").exists());
}

#[test]
fn it_goes_no_further_than_it_is_to() {
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["shop", "2.0.0", "--only-until", "configure", "--format", "json"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let end = screen.run_end();
    assert_eq!((end.status, end.reason), (RunStatus::Cancelled, Some(Reason::Requested)));
    screen.complains("it was to go no further");
    assert_eq!(names(&user, "releases"), ["1.0.0", "2.0.0"]);
    runs(&user, "1.0.0");
}

#[test]
fn a_step_that_is_left_out_says_why() {
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["shop", "2.0.0", "--skip", "backup-current-version", "--format", "json"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let step = screen.state().step("backup-current-version").unwrap().clone();
    assert_eq!((step.status(), step.skipped_because()), (StepStatus::Skipped, Some("--skip was given")));
    assert_eq!(names(&user, "backups"), [""; 0]);
}

#[test]
fn a_step_that_there_is_not_lists_those_that_there_are() {
    let user = User::new();
    let mut by_environment = user.command("deploy", &[]);
    by_environment.env("DEPLOY_FAIL_AT", "helth-check");
    for screen in [user.deploy(&["--fail-at", "helth-check"]), Screen::of(by_environment)] {
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(2), ""), "{screen}");
        DeployStep::steps().for_each(|step| screen.complains(step.id()));
    }
    let screen = user.deploy(&["--skip", "health-check"]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("backup-current-version");
    assert!(!screen.stderr.contains("set-permissions"), "it cannot be skipped: {screen}");
    assert!(!user.path("").exists());
}

#[test]
fn what_could_leave_the_folder_is_no_name() {
    let user = User::new();
    for arguments in [["../shop", "1.0.0"], ["shop", "../1.0.0"], ["shop", "."], ["--health-check", "health"]] {
        assert_eq!(user.deploy(&arguments).code, Some(2), "{arguments:?}");
    }
    assert_eq!(user.deploy(&["shop"]).code, Some(2), "an application needs its version");
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let user = User::new();
    fs::create_dir_all(user.path("releases")).unwrap();
    fs::write(user.path("releases/precious"), "").unwrap();
    let screen = user.deploy(&[]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("holds something else");
    assert_eq!(names(&user, ""), ["releases"]);
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["blog", "1.0.0"]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("is where `shop` is deployed");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for format in ["text", "json"] {
        let user = User::new();
        let mut child = user.command("deploy", &["--format", format]).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        runs(&user, "1.0.0");
    }
}
