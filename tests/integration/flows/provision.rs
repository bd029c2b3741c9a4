//! `provision`: up, down, and broken at every step.

use std::fs;

use step_machine::event::{Effect, RunStatus, StepStatus, UndoStatus};
use step_machine::{Undo, Workflow};
use step_machine_examples::steps::ProvisionStep;

use super::user::{Screen, User, assert_gone, eventually, greeting, path_with};

/// The number of the step that creates the instance.
const APPLY: usize = 5;

#[test]
fn it_tells_one_line_a_step_and_leaves_an_instance() {
    let user = User::new();
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

#[test]
fn as_json_standard_output_is_events_and_nothing_else() {
    let user = User::new();
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

#[test]
fn a_second_run_replaces_the_instance_of_the_first() {
    let user = User::new();
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

#[test]
fn destroy_ends_the_instance_and_is_no_error_twice() {
    let user = User::new();
    assert_eq!(user.provision(&[]).code, Some(0));
    let port = user.port();
    let screen = user.provision(&["destroy"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(0), "demo: the instance is gone\n"));
    assert_gone(port);
    assert!(!user.path("").exists());
    assert_eq!(user.provision(&["destroy"]).code, Some(0));
}

#[test]
fn the_server_ends_by_itself_where_its_folder_goes() {
    let user = User::new();
    assert_eq!(user.provision(&[]).code, Some(0));
    let port = user.port();
    fs::remove_dir_all(user.path("")).unwrap();
    assert_gone(port);
}

#[test]
fn a_skipped_step_says_why() {
    let user = User::new();
    let screen = user.provision(&["--no-cloud-init", "--format", "json"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let step = screen.state().step("cloud-init-wait").unwrap().clone();
    assert_eq!((step.status(), step.attempts()), (StepStatus::Skipped, 0));
    assert_eq!(step.skipped_because(), Some("nobody wants to wait for it"));
    assert_eq!(screen.run_end().warnings, 0);
}

/// One test a step: broken there, it fails there, as this kind of error, for this reason.
macro_rules! broken {
    ($($test:ident: $step:ident, $kind:literal, [$($text:literal),+];)*) => {$(
        #[test]
        fn $test() {
            fails_at(ProvisionStep::$step, $kind, &[$($text),+]);
        }
    )*};
}

broken! {
    a_broken_template: RenderOpenTofuTemplates, "template-rendering",
        ["the templates of OpenTofu cannot be rendered", "tofu/main.tf.json.j2", "syntax error"];
    a_missing_program: OpenTofuInit, "command-execution",
        ["`tofu init` cannot be run", "bin", "os error 2"];
    an_unknown_field: OpenTofuValidate, "infrastructure-provisioning",
        ["`tofu validate` failed", "unknown field `memory`"];
    half_a_state: OpenTofuPlan, "infrastructure-provisioning",
        ["`tofu plan` failed", "terraform.tfstate: EOF while parsing"];
    a_port_that_is_taken: OpenTofuApply, "infrastructure-provisioning",
        ["`tofu apply` failed", "cannot listen on 127.0.0.1"];
    an_output_that_is_missing: GetInstanceInfo, "infrastructure-provisioning",
        ["the outputs of OpenTofu do not say where the instance is", "missing field `port`"];
    an_undefined_variable: RenderAnsibleTemplates, "template-rendering",
        ["the templates of Ansible cannot be rendered", "ansible/inventory.json.j2", "`ssh_key` is undefined"];
    an_instance_that_is_gone: WaitSshConnectivity, "network-connectivity",
        ["nothing answers at 127.0.0.1", "refused"];
    a_first_boot_that_fails: CloudInitWait, "configuration",
        ["the first boot of the instance failed", "cannot write etc/hostname/motd"];
}

fn fails_at(broken: ProvisionStep, kind: &str, chain: &[&str]) {
    let user = User::new();
    let screen = user.provision(&["--format", "json", "--fail-at", broken.id()]);
    assert_eq!(screen.code, Some(1), "{screen}");
    names_the_step(&screen, broken, kind, chain);
    tells_the_steps_in_order(&screen, broken);
    takes_back_what_it_created(&user, &screen, broken);
    stores_the_failure(&user, &screen, broken);
}

fn names_the_step(screen: &Screen, broken: ProvisionStep, kind: &str, chain: &[&str]) {
    let failure = screen.failure();
    let number = broken.index() + 1;
    assert_eq!(failure.step.as_ref().unwrap(), &broken.id());
    assert_eq!((failure.step_number, failure.total_steps), (number, 9));
    assert_eq!((&*failure.error.kind, failure.error.effect), (kind, Effect::Known));
    let texts: Vec<&String> = std::iter::once(&failure.error.message).chain(&failure.error.chain).collect();
    assert_eq!(texts.len(), chain.len(), "{texts:?}");
    for (text, part) in texts.iter().zip(chain) {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    screen.complains(&format!("step {number}/9 `{}` of `provision` failed ({kind})", broken.id()));
    for text in texts.into_iter().flat_map(|text| text.lines()) {
        screen.complains(text);
    }
}

fn tells_the_steps_in_order(screen: &Screen, broken: ProvisionStep) {
    let mut expected = vec!["run_start ".to_owned()];
    expected.extend(ProvisionStep::steps().take(broken.index()).flat_map(start_and_end));
    if broken == ProvisionStep::WaitSshConnectivity {
        let attempt = |what| format!("{what} {}", broken.id());
        expected.extend((1..5).flat_map(|_| [attempt("step_start"), attempt("step_retry")]));
    }
    expected.extend(start_and_end(broken));
    if broken.index() + 1 >= APPLY {
        expected.extend(["undo_start open-tofu-apply".to_owned(), "undo_end open-tofu-apply".to_owned()]);
    }
    expected.push("run_end ".to_owned());
    assert_eq!(screen.story(), expected);
}

fn takes_back_what_it_created(user: &User, screen: &Screen, broken: ProvisionStep) {
    let state = screen.state();
    assert_eq!(state.failure(), Some(&screen.failure()));
    assert!(!user.path("instance").exists());
    if broken.index() + 1 < APPLY {
        assert_eq!(state.status(), RunStatus::Failed);
        assert_eq!(screen.failure().rollback, None);
        return;
    }
    assert_eq!(state.status(), RunStatus::RolledBack);
    assert_eq!(state.step("open-tofu-apply").unwrap().undo(), Undo::Ended(UndoStatus::Undone));
    let rollback = screen.failure().rollback.unwrap();
    assert_eq!(rollback.status, RunStatus::RolledBack);
    let undone: Vec<&str> = rollback.undos.iter().map(|undo| undo.step.id()).collect();
    assert_eq!(undone, ["open-tofu-apply"]);
    assert_eq!(user.read_json("build/tofu/terraform.tfstate")["resources"], serde_json::json!([]));
    assert_gone(user.port());
}

fn stores_the_failure(user: &User, screen: &Screen, broken: ProvisionStep) {
    let stored = user.stored_failure();
    assert_eq!(stored.step(), Some(broken));
    let before: Vec<_> = ProvisionStep::steps().take(broken.index()).collect();
    assert_eq!(stored.completed().collect::<Vec<_>>(), before);
    let after: Vec<_> = ProvisionStep::steps().skip(broken.index() + 1).collect();
    assert_eq!(stored.never_ran().collect::<Vec<_>>(), after);
    // The trace is written after the run has ended, so only the stored failure can name it.
    let mut record = stored.into_record();
    let trace = record.trace_file.take().unwrap();
    assert_eq!(record, screen.failure());
    let trace = fs::read_to_string(trace).unwrap();
    for text in [broken.id(), &record.error.kind, &record.run.to_string()] {
        assert!(trace.contains(text), "`{text}` is not in\n{trace}");
    }
    assert!(screen.stderr.contains(trace.trim_end()), "the screen and the trace differ:\n{screen}\n--- trace\n{trace}");
    assert_eq!(trace.matches("never ran").count(), after.len());
}

fn start_and_end(step: ProvisionStep) -> [String; 2] {
    [format!("step_start {}", step.id()), format!("step_end {}", step.id())]
}

#[test]
fn as_text_a_failure_tells_the_whole_story_on_standard_error() {
    let user = User::new();
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

#[test]
fn the_failed_environment_is_no_hindrance() {
    let user = User::new();
    for step in ["open-tofu-plan", "open-tofu-apply", "open-tofu-apply"] {
        assert_eq!(user.provision(&["--fail-at", step]).code, Some(1));
    }
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert!(greeting(user.port()).is_some());
    assert_eq!(fs::read_dir(user.path("traces")).unwrap().count(), 3);
}

#[test]
fn without_a_rollback_everything_is_left_as_it_is() {
    let user = User::new();
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

#[test]
fn a_step_that_there_is_not_lists_those_that_there_are() {
    let user = User::new();
    let screen = user.provision(&["--fail-at", "open-tofu-aply"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(2), ""));
    for step in ProvisionStep::steps() {
        screen.complains(step.id());
    }
    screen.complains("a similar value exists: 'open-tofu-apply'");
    assert!(!user.path("").exists());
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

#[test]
fn the_tofu_on_the_path_is_used_where_it_is_asked_for() {
    let user = User::new();
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

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for format in ["text", "json"] {
        let user = User::new();
        let mut child = user.command("provision", &["--format", format]).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        eventually("the environment is saved", || user.read_json("environment.json")["state"] == "provisioned");
    }
}
