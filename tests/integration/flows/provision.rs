//! `provision`: up and down, by either drive.

use std::fs;

use step_machine::Workflow;
use step_machine::event::{RunStatus, StepStatus};
use step_machine_examples::steps::ProvisionStep;

use super::user::{Screen, User, assert_gone, eventually, greeting, path_with, start_and_end};

by_both_drives! {
    it_tells_one_line_a_step_and_leaves_an_instance,
    as_json_standard_output_is_events_and_nothing_else,
    a_second_run_replaces_the_instance_of_the_first,
    destroy_ends_the_instance_and_is_no_error_twice,
    the_server_ends_by_itself_where_its_folder_goes,
    a_skipped_step_says_why,
    as_text_a_failure_tells_the_whole_story_on_standard_error,
    the_failed_environment_is_no_hindrance,
    without_a_rollback_everything_is_left_as_it_is,
    a_step_that_there_is_not_lists_those_that_there_are,
    the_environment_says_where_to_fail_where_the_command_line_does_not,
    the_tofu_on_the_path_is_used_where_it_is_asked_for,
    a_first_boot_that_takes_too_long_is_given_up,
    a_reader_that_goes_away_is_no_failure,
}

fn it_tells_one_line_a_step_and_leaves_an_instance(user: &User) {
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let steps: Vec<&str> = screen.stdout.lines().filter(|line| line.starts_with('✓')).collect();
    assert_eq!(steps.len(), 9, "{screen}");
    for (number, (line, step)) in (1..).zip(steps.into_iter().zip(ProvisionStep::steps())) {
        assert!(line.starts_with(&format!("✓ {number}/9  {}", step.info().name)), "{line}");
    }
    screen.tells("environment: demo/environment.json");
    assert_eq!(screen.stderr, "");
    let environment = user.read_json("environment.json");
    assert_eq!(environment["state"], "provisioned");
    assert_eq!(environment["instance"]["port"], user.port());
    assert_eq!(greeting(user.port()).unwrap(), "SSH-2.0-step-machine-demo web-1\n");
    assert_eq!(user.read("instance/root/etc/hostname"), "web-1\n");
}

fn as_json_standard_output_is_events_and_nothing_else(user: &User) {
    let screen = user.provision(&["--format", "json", "--id", "web-42"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let state = screen.state();
    assert_eq!((state.run().to_string().as_str(), state.status()), ("web-42", RunStatus::Completed));
    assert!(state.steps().iter().all(|step| step.status() == StepStatus::Completed));
    assert_eq!(screen.run_end().status, RunStatus::Completed);
    let mut expected = vec!["run_start ".to_owned()];
    expected.extend(ProvisionStep::steps().flat_map(start_and_end));
    expected.push("run_end ".to_owned());
    assert_eq!(screen.story(), expected);
    let output = state.step("get-instance-info").unwrap().output().unwrap();
    assert_eq!(output, &user.read_json("environment.json")["instance"]);
    screen.complains("completed in");
}

fn a_second_run_replaces_the_instance_of_the_first(user: &User) {
    assert_eq!(user.provision(&[]).code, Some(0));
    let (first, first_pid) = (user.port(), user.read("instance/listening"));
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert_ne!(user.read("instance/listening"), first_pid);
    assert!(greeting(user.port()).is_some());
    if user.port() != first {
        assert_gone(first);
    }
}

fn destroy_ends_the_instance_and_is_no_error_twice(user: &User) {
    assert_eq!(user.provision(&[]).code, Some(0));
    let port = user.port();
    let screen = user.provision(&["destroy"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(0), "demo: the instance is gone\n"));
    assert_gone(port);
    assert!(!user.path("").exists());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
}

fn the_server_ends_by_itself_where_its_folder_goes(user: &User) {
    assert_eq!(user.provision(&[]).code, Some(0));
    let port = user.port();
    fs::remove_dir_all(user.path("")).unwrap();
    assert_gone(port);
}

fn a_skipped_step_says_why(user: &User) {
    let screen = user.provision(&["--no-cloud-init", "--format", "json"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let step = screen.state().step("cloud-init-wait").unwrap().clone();
    assert_eq!((step.status(), step.attempts()), (StepStatus::Skipped, 0));
    assert_eq!(step.skipped_because(), Some("nobody wants to wait for it"));
    assert_eq!(screen.run_end().warnings, 0);
}

fn as_text_a_failure_tells_the_whole_story_on_standard_error(user: &User) {
    let screen = user.provision(&["--fail-at", "wait-ssh-connectivity"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.tells("✗ 8/9  Wait for SSH connectivity");
    screen.tells("failed (network-connectivity): nothing answers at 127.0.0.1");
    screen.tells("↶ 5/9  OpenTofu apply");
    screen.complains("step 8/9 `wait-ssh-connectivity` of `provision` failed (network-connectivity) after");
    screen.complains("0: nothing answers at 127.0.0.1");
    screen.complains("5 attempts");
    screen.complains("9/9  Wait for cloud-init        never ran");
    screen.complains("open-tofu-apply: undone");
    screen.complains(&user.stored_failure().record().trace_file.as_ref().unwrap().display().to_string());
}

fn the_failed_environment_is_no_hindrance(user: &User) {
    for step in ["open-tofu-plan", "open-tofu-apply", "open-tofu-apply"] {
        assert_eq!(user.provision(&["--fail-at", step]).code, Some(1));
    }
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert!(greeting(user.port()).is_some());
    assert_eq!(fs::read_dir(user.path("traces")).unwrap().count(), 3);
}

fn without_a_rollback_everything_is_left_as_it_is(user: &User) {
    let screen = user.provision(&["--format", "json", "--no-rollback", "--fail-at", "get-instance-info"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!((screen.run_end().status, screen.failure().rollback), (RunStatus::Failed, None));
    assert!(screen.state().step("open-tofu-apply").unwrap().status() == StepStatus::Completed);
    screen.complains("nothing was taken back");
    let port = user.port();
    assert!(greeting(port).is_some());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert_gone(port);
}

fn a_step_that_there_is_not_lists_those_that_there_are(user: &User) {
    let screen = user.provision(&["--fail-at", "open-tofu-aply"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(2), ""));
    for step in ProvisionStep::steps() {
        screen.complains(step.id());
    }
    screen.complains("a similar value exists: 'open-tofu-apply'");
    assert!(!user.path("").exists());
}

fn the_environment_says_where_to_fail_where_the_command_line_does_not(user: &User) {
    let failing = |variable: &str, arguments: &[&str]| {
        let mut command = user.command("provision", arguments);
        command.env("PROVISION_FAIL_AT", variable);
        Screen::of(command)
    };
    for unknown in ["open-tofu-aply", ""] {
        let screen = failing(unknown, &[]);
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(2), ""));
        for step in ProvisionStep::steps() {
            screen.complains(step.id());
        }
    }
    assert!(!user.path("").exists());
    assert_eq!(failing("open-tofu-apply", &[]).code, Some(1));
    assert_eq!(user.stored_failure().step(), Some(ProvisionStep::OpenTofuApply));
    assert_eq!(failing("open-tofu-apply", &["--fail-at", "cloud-init-wait"]).code, Some(1));
    assert_eq!(user.stored_failure().step(), Some(ProvisionStep::CloudInitWait));
    assert_eq!(failing("open-tofu-apply", &["destroy"]).code, Some(0));
}

fn a_first_boot_that_takes_too_long_is_given_up(user: &User) {
    let screen = user.provision(&["--boot-seconds", "600"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("the first boot of the instance was not finished within 10s");
    screen.complains("effect    unknown");
    assert_gone(user.port());
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let user = User::new();
    fs::create_dir_all(user.path("build")).unwrap();
    fs::write(user.path("build/precious"), "").unwrap();
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("holds something else");
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
    assert!(user.path("build/precious").exists());
}

#[test]
fn a_tofu_that_there_is_not_is_wrong_usage() {
    let user = User::new();
    let mut command = user.command("provision", &["--tofu"]);
    command.env("PATH", "");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("there is no `tofu` on the PATH");
}

fn the_tofu_on_the_path_is_used_where_it_is_asked_for(user: &User) {
    let tools = tempfile::tempdir().unwrap();
    // The example is a `tofu` itself, by that name.
    let tofu = tools.path().join(format!("tofu{}", std::env::consts::EXE_SUFFIX));
    fs::copy(super::user::program("provision"), &tofu).unwrap();
    let mut command = user.command("provision", &["--tofu"]);
    command.env("PATH", path_with(tools.path()));
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(0), "{screen}");
    #[cfg(unix)]
    assert_eq!(fs::read_link(user.path("bin/tofu")).unwrap(), tofu);
}

fn a_reader_that_goes_away_is_no_failure(user: &User) {
    for format in ["text", "json"] {
        let mut child = user.command("provision", &["--format", format]).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        eventually("the environment is saved", || user.read_json("environment.json")["state"] == "provisioned");
    }
}

#[test]
fn the_environment_says_whether_there_are_colours_and_who_reads_the_log() {
    let user = User::new();
    let told = |variables: &[&str]| {
        let mut command = user.command("provision", &[]);
        command.envs(variables.iter().map(|name| (*name, if *name == "GITHUB_ACTIONS" { "true" } else { "1" })));
        let screen = Screen::of(command);
        assert_eq!(screen.code, Some(0), "{screen}");
        screen.stdout
    };
    let (green, group) = ("\u{1b}[32m✓\u{1b}[0m 1/9  Render", "\n::group::2/9  OpenTofu init\n");
    for (variables, has_colors, has_groups) in [
        (&[][..], false, false),
        (&["CLICOLOR_FORCE"], true, false),
        (&["CLICOLOR_FORCE", "NO_COLOR"], false, false),
        (&["GITHUB_ACTIONS"], false, true),
    ] {
        let told = told(variables);
        assert_eq!((told.contains(green), told.contains(group)), (has_colors, has_groups), "{variables:?}: {told}");
        assert_eq!(told.contains('\u{1b}'), has_colors, "{variables:?}: {told}");
    }
}
