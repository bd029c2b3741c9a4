//! `deploy`, broken at every step: what it says, and what answers afterwards.

use std::fs;

use step_machine::event::{Effect, Reason, RunStatus, StepStatus, UndoStatus};
use step_machine::{Undo, Workflow};
use step_machine_examples::steps::DeployStep;

use super::deploy_site::{current, deployed, is_valid, names, nothing_runs, page, runs, start_and_end, undone};
use super::user::{Screen, User};

/// One test a step: broken there, it fails there, as this kind of error, for this reason; these are taken back.
macro_rules! broken {
    ($($test:ident: $step:ident, $kind:literal, $text:literal, [$($undone:literal),*];)*) => {$(
        #[test]
        fn $test() {
            fails_at(DeployStep::$step, $kind, $text, &[$($undone),*]);
        }
    )*};
}

broken! {
    a_release_that_was_withdrawn: ValidateEnvironment, "validation",
        "shop 2.0.0 is not released; there is 1.0.0", [];
    a_backup_that_has_no_folder: BackupCurrentVersion, "command-execution", "`tar` ended with exit code", [];
    a_download_that_was_changed: Download, "validation", "shop-2.0.0.tar.gz is damaged", ["download"];
    half_an_archive: Extract, "command-execution", "`tar` ended with exit code", ["extract", "download"];
    a_variable_that_nobody_sets: Configure, "template-rendering", "`database` is undefined", ["extract", "download"];
    a_service_that_dies: StartService, "service-start", "page.html.j2", ["start-service", "extract", "download"];
    a_service_that_is_not_well: HealthCheck, "health-check", "answers 500",
        ["start-service", "extract", "download"];
}

fn fails_at(broken: DeployStep, kind: &str, text: &str, taken_back: &[&str]) {
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["shop", "2.0.0", "--format", "json", "--fail-at", broken.id()]);
    assert_eq!(screen.code, Some(1), "{screen}");
    is_valid(&screen);
    names_the_step(&screen, broken, kind, text);
    assert_eq!(screen.story(), story(broken, taken_back));
    // The version before answers, and of the new one nothing is left.
    runs(&user, "1.0.0");
    assert_eq!(names(&user, "releases"), ["1.0.0"]);
    assert_eq!(names(&user, "downloads"), ["shop-1.0.0.tar.gz"]);
    screen.complains("answers 200: shop 1.0.0 is well");
    // The damage was for that run only.
    assert_eq!(user.deploy(&["shop", "2.0.0"]).code, Some(0));
    runs(&user, "2.0.0");
}

fn names_the_step(screen: &Screen, broken: DeployStep, kind: &str, text: &str) {
    let failure = screen.failure();
    assert_eq!(failure.step.as_ref().unwrap(), &broken.id());
    assert_eq!((&*failure.error.kind, failure.error.effect), (kind, Effect::Known));
    let texts: Vec<&String> = std::iter::once(&failure.error.message).chain(&failure.error.chain).collect();
    assert!(texts.iter().any(|part| part.contains(text)), "`{text}` is not in {texts:?}");
    screen.complains(&format!("step {}/8 `{}` of `deploy` failed ({kind})", broken.index() + 1, broken.id()));
}

/// The events of a run that fails at `broken`.
fn story(broken: DeployStep, taken_back: &[&str]) -> Vec<String> {
    let mut story = vec!["run_start ".to_owned()];
    story.extend(DeployStep::steps().take(broken.index()).flat_map(start_and_end));
    if broken == DeployStep::HealthCheck {
        let attempt = |what| format!("{what} {}", broken.id());
        story.extend((1..5).flat_map(|_| [attempt("step_start"), attempt("step_retry")]));
    }
    story.extend(start_and_end(broken));
    story.extend(taken_back.iter().flat_map(|step| undone(step)));
    story.push("run_end ".to_owned());
    story
}

#[test]
fn as_text_the_version_before_is_said_to_answer_again() {
    let user = deployed(&["1.0.0"]);
    let mut command = user.command("deploy", &["shop", "2.0.0"]);
    command.env("DEPLOY_FAIL_AT", "start-service");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.tells("✗ 7/8  Start service");
    screen.tells("undone: 1.0.0 runs again");
    screen.complains("does not start");
    screen.complains("page.html.j2");
    screen.complains("start-service: undone");
    screen.complains("answers 200: shop 1.0.0 is well");
    assert_eq!(names(&user, "traces").len(), 1);
}

#[test]
fn a_release_that_is_broken_by_itself_is_taken_back_too() {
    let user = deployed(&["1.0.0"]);
    for (version, nature) in [("2.0.0", "--broken"), ("3.0.0", "--dies")] {
        assert_eq!(user.deploy(&["release", version, nature]).code, Some(0));
        let screen = user.deploy(&["shop", version]);
        assert_eq!(screen.code, Some(1), "{screen}");
        runs(&user, "1.0.0");
    }
    // So is one that is well, but not where it is asked.
    let screen = user.deploy(&["shop", "4.0.0", "--health-check", "/nowhere"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("answers 404: there is no /nowhere");
    runs(&user, "1.0.0");
}

#[test]
fn the_backup_brings_back_what_was_damaged_meanwhile() {
    let user = deployed(&["1.0.0"]);
    let config = user.read("releases/1.0.0/config.json");
    assert_eq!(user.deploy(&["shop", "2.0.0", "--only-until", "backup-current-version"]).code, Some(0));
    let screen = user.deploy(&["shop", "2.0.0", "--fail-at", "start-service"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!(user.read("releases/1.0.0/config.json"), config);
    runs(&user, "1.0.0");
}

#[test]
fn without_a_backup_the_folder_of_the_version_before_does() {
    let user = deployed(&["1.0.0"]);
    let screen = user.deploy(&["shop", "2.0.0", "--skip", "backup-current-version", "--fail-at", "start-service"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    runs(&user, "1.0.0");
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing_running() {
    let user = User::new();
    let screen = user.deploy(&["--fail-at", "start-service"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("nothing answers at");
    nothing_runs(&user);
    assert_eq!((current(&user), names(&user, "releases")), (None, vec![]));
    // A step that does not run cannot fail.
    let screen = user.deploy(&["--fail-at", "backup-current-version"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.complains("--fail-at had no effect: the step did not run");
}

#[test]
fn a_version_that_was_stopped_is_not_started_by_a_rollback() {
    let user = deployed(&["1.0.0"]);
    assert_eq!(user.deploy(&["stop"]).code, Some(0));
    let screen = user.deploy(&["shop", "2.0.0", "--fail-at", "start-service"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    nothing_runs(&user);
    assert_eq!(current(&user).unwrap(), "1.0.0");
}

#[test]
fn without_a_rollback_everything_is_left_as_it_is() {
    let user = deployed(&["1.0.0"]);
    assert_eq!(user.deploy(&["release", "2.0.0", "--broken"]).code, Some(0));
    let screen = user.deploy(&["shop", "2.0.0", "--no-rollback", "--format", "json"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    is_valid(&screen);
    assert_eq!((screen.run_end().status, screen.failure().rollback), (RunStatus::Failed, None));
    let state = screen.state();
    assert_eq!(state.step("start-service").unwrap().undo(), Undo::None);
    screen.complains("nothing was taken back");
    assert_eq!(current(&user).unwrap(), "2.0.0");
    assert!(page(&user).unwrap().contains("`stock` is undefined"));
    let state = user.deploy(&["shop", "2.0.0", "--no-rollback", "--rollback", "--format", "json"]).state();
    assert_eq!(state.step("start-service").unwrap().undo(), Undo::Ended(UndoStatus::Undone));
}

#[test]
fn a_failure_that_is_not_critical_is_a_warning() {
    let user = deployed(&["1.0.0"]);
    let fail = ["shop", "2.0.0", "--fail-at", "set-permissions"];
    let screen = user.deploy(&fail);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("! 6/8  Set permissions");
    screen.tells("warning (permissions): demo/releases/2.0.0/public/orders cannot be given the rights 640");
    screen.tells("completed with 1 warning");
    runs(&user, "2.0.0");
    let screen = user.deploy(&[&fail[..], &["--strict", "--format", "json"]].concat());
    assert_eq!(screen.code, Some(3), "{screen}");
    is_valid(&screen);
    let state = screen.state();
    let step = state.step("set-permissions").unwrap();
    assert_eq!((step.status(), step.reason()), (StepStatus::Skipped, Some(Reason::Failed)));
    assert_eq!(screen.run_end().warnings, 1);
    fs::remove_dir_all(user.path("")).unwrap();
}
