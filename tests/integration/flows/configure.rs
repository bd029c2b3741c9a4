//! `configure`: on the instance that `provision` left, and broken at every step.

use step_machine::event::{FailureRecord, Reason, RunStatus, StepStatus};
use step_machine::{FailureContext, Workflow};
use step_machine_examples::steps::ConfigureStep;

use super::user::{Screen, User};

fn provisioned() -> User {
    let user = User::new();
    let screen = user.provision(&[]);
    assert_eq!(screen.code, Some(0), "{screen}");
    user
}

#[test]
fn it_sets_up_the_instance_that_provision_left() {
    let user = provisioned();
    for _ in 0..2 {
        let screen = user.configure(&["--strict"]);
        assert_eq!(screen.code, Some(0), "{screen}");
        assert_eq!(screen.stdout.lines().filter(|line| line.starts_with('✓')).count(), 4, "{screen}");
        screen.tells("✓ 4/4  Configure firewall");
        screen.tells("web-1 is set up");
    }
    assert_eq!(user.read("instance/root/usr/bin/docker"), user.read("packages/docker"));
    assert_eq!(user.read_json("instance/root/var/lib/packages.json"), user.read_json("packages/index.json"));
    let rules = format!("allow {}/tcp\nallow 443/tcp\ndeny 2375/tcp\n", user.port());
    assert_eq!(user.read("instance/root/etc/firewall.rules"), rules);
    assert!(user.read("instance/root/etc/apt/apt.conf.d/50unattended-upgrades").contains("\"02:00\""));
}

#[test]
fn without_an_instance_it_says_what_to_run_first() {
    let user = User::new();
    let screen = user.configure(&[]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run `provision` first");
    assert_eq!(screen.stdout, "");
}

#[test]
fn on_a_failed_environment_it_says_what_failed() {
    let user = User::new();
    user.provision(&["--fail-at", "open-tofu-plan"]);
    let screen = user.configure(&[]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("step 4/9 `open-tofu-plan` of `provision` failed (infrastructure-provisioning)");
    screen.complains("run `provision` again");
}

#[test]
fn an_instance_that_is_gone_is_a_matter_of_the_network() {
    let user = provisioned();
    std::fs::remove_file(user.path("build/tofu/user-data.json")).unwrap();
    let port = user.read_json("environment.json")["instance"]["port"].as_u64().unwrap();
    super::user::assert_gone(u16::try_from(port).unwrap());
    let failure = fails_at(&user, &[], ConfigureStep::InstallDocker);
    assert_eq!(failure.error.kind, "network-connectivity");
}

#[test]
fn a_package_that_is_missing() {
    let failure = fails_at(&provisioned(), &["--fail-at", "install-docker"], ConfigureStep::InstallDocker);
    assert_eq!(failure.error.kind, "command-execution");
    assert_eq!(failure.error.message, "package docker cannot be installed");
    assert!(failure.error.chain[0].contains("cannot fetch package docker"), "{failure:?}");
}

#[test]
fn a_package_that_is_damaged() {
    let arguments = ["--fail-at", "install-docker-compose"];
    let failure = fails_at(&provisioned(), &arguments, ConfigureStep::InstallDockerCompose);
    assert_eq!(failure.error.kind, "command-execution");
    assert!(failure.error.chain[0].contains("package docker-compose is damaged"), "{failure:?}");
}

#[test]
fn a_firewall_rule_that_nobody_understands() {
    let user = provisioned();
    assert_eq!(user.configure(&[]).code, Some(0));
    let rules = user.read("instance/root/etc/firewall.rules");
    let failure = fails_at(&user, &["--fail-at", "configure-firewall"], ConfigureStep::ConfigureFirewall);
    assert_eq!(failure.error.kind, "configuration");
    assert!(failure.error.chain[0].contains("firewall rule `alow 22/tcp`"), "{failure:?}");
    assert_eq!(user.read("instance/root/etc/firewall.rules"), rules, "the old rules still hold");
    // The damage was for that run only.
    assert_eq!(user.configure(&[]).code, Some(0));
}

#[test]
fn the_trace_goes_where_it_is_wanted() {
    let user = provisioned();
    let traces = user.path("elsewhere");
    let arguments = ["--fail-at", "configure-firewall", "--trace-dir", traces.to_str().unwrap()];
    let screen = user.configure(&arguments);
    assert_eq!(screen.code, Some(1), "{screen}");
    let trace = std::fs::read_dir(&traces).unwrap().next().unwrap().unwrap().path();
    screen.complains(&trace.display().to_string());
    assert!(!user.path("traces").exists());
}

/// Runs `configure`, which fails at `broken`, and gives back what is known of it.
fn fails_at(user: &User, arguments: &[&str], broken: ConfigureStep) -> FailureRecord {
    let screen = user.configure(&[&["--format", "json"], arguments].concat());
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!(screen.state().status(), RunStatus::Failed);
    let failure = FailureContext::<ConfigureStep>::from_record(screen.failure()).unwrap();
    assert_eq!(failure.step(), Some(broken));
    let before: Vec<_> = ConfigureStep::steps().take(broken.index()).collect();
    assert_eq!(failure.completed().collect::<Vec<_>>(), before);
    let after: Vec<_> = ConfigureStep::steps().skip(broken.index() + 1).collect();
    assert_eq!(failure.never_ran().collect::<Vec<_>>(), after);
    screen.complains(&format!("step {}/4 `{}` of `configure` failed", broken.index() + 1, broken.id()));
    assert_eq!(traces(user), 1);
    failure.into_record()
}

fn traces(user: &User) -> usize {
    std::fs::read_dir(user.path("traces")).unwrap().count()
}

#[test]
fn a_failure_that_is_not_critical_is_a_warning() {
    let user = provisioned();
    let fail = ["--fail-at", "configure-security-updates"];
    let screen = user.configure(&fail);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("! 3/4  Configure security updates");
    screen.tells("warning (configuration)");
    screen.tells("not a time of day");
    screen.tells("✓ 4/4  Configure firewall");
    screen.tells("completed with 1 warning");
    let screen = user.configure(&[&fail[..], &["--strict", "--format", "json"]].concat());
    assert_eq!(screen.code, Some(3), "{screen}");
    is_a_warning(&screen);
    screen.complains("completed with 1 warning");
}

fn is_a_warning(screen: &Screen) {
    let end = screen.run_end();
    assert_eq!((end.status, end.warnings), (RunStatus::Completed, 1));
    let state = screen.state();
    let step = state.step("configure-security-updates").unwrap();
    assert_eq!((step.status(), step.reason()), (StepStatus::Skipped, Some(Reason::Failed)));
    assert_eq!(step.error().unwrap().kind, "configuration");
    assert_eq!(state.step("configure-firewall").unwrap().status(), StepStatus::Completed);
}

#[test]
fn a_step_that_there_is_not_lists_those_that_there_are() {
    let user = User::new();
    let screen = user.configure(&["--fail-at", "docker"]);
    assert_eq!(screen.code, Some(2), "{screen}");
    for step in ConfigureStep::steps() {
        screen.complains(step.id());
    }
}
