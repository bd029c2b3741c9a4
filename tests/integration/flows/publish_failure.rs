//! `publish`, broken at every step: what is told, and what answers then.

use std::fs;

use serde_json::json;
use step_machine::event::{EventType, Kind, RunStatus, StepStatus, UndoStatus};

use super::publisher::{Publisher, innermost};
use super::user::Screen;

/// Publishes `kind` over a version that answers, broken at every step that it names: that stays as it is.
fn breaks_everywhere(kind: &str) {
    let publisher = Publisher::with("docker");
    let steps = publisher.steps(kind);
    assert!(steps.len() >= 8, "{steps:?}");
    for step in steps.iter().filter(|step| !step.ends_with("activate")) {
        let told = publisher.told(&[kind, "--fail-at", step]);
        assert_eq!(told.screen.code, Some(1), "{step}: {}", told.screen);
        assert_eq!(&told.failed_at(), step);
        assert_eq!(told.failure().rollback.unwrap().status, RunStatus::RolledBack, "{step}");
        publisher.answers("The shop is open");
        assert_eq!(publisher.entries("containers"), ["shop-1"], "{step}");
        assert_eq!(publisher.entries("images"), ["shop-1"], "{step}");
        assert!(publisher.entries("sources").is_empty() && publisher.entries("releases/shop").is_empty(), "{step}");
        #[cfg(unix)]
        assert_eq!(publisher.processes(), 2, "{step}");
    }
    assert_eq!(publisher.entries("traces").len(), steps.len() - 1);
}

#[test]
fn static_files_broken_at_every_step() {
    breaks_everywhere("static");
}

#[test]
fn a_container_broken_at_every_step() {
    breaks_everywhere("docker");
}

#[test]
fn a_nodejs_application_broken_at_every_step() {
    breaks_everywhere("nodejs");
}

#[test]
fn the_source_alone_broken_at_every_step() {
    let publisher = Publisher::new();
    let steps = publisher.steps("source");
    assert_eq!(steps, ["pull-source/find", "pull-source/make-room", "pull-source/transfer"]);
    for step in steps {
        let told = publisher.told(&["source", "--fail-at", &step]);
        assert_eq!((told.screen.code, told.failed_at()), (Some(1), step));
        assert!(publisher.entries("sources").is_empty());
    }
}

#[test]
fn each_source_that_is_not_there() {
    let publisher = Publisher::new();
    let repository = publisher.repository();
    let sources: [&[&str]; 4] = [
        &["git", "--repository", &repository, "--branch", "dead"],
        &["git", "--repository", "nowhere"],
        &["upload", "--file", "gone.tar.gz"],
        &["bucket", "--bucket", &repository, "--key", "../repository"],
    ];
    for source in sources {
        let told = publisher.told(&[&["static", "--source"], source].concat());
        assert_eq!((told.screen.code, told.failed_at().as_str()), (Some(1), "pull-source/find"));
        let failure = innermost(told.failure());
        assert_eq!((failure.error.kind.as_ref(), &failure.metadata["source_status"]), ("source", &json!("pulling")));
        assert_eq!(failure.metadata["source"]["kind"], source[0]);
    }
}

#[test]
fn without_git_it_says_so() {
    let publisher = Publisher::new();
    let repository = publisher.repository();
    let arguments = ["static", "--source", "git", "--repository", &repository, "--format", "json"];
    let mut command = publisher.user.command("publish", &arguments);
    command.env("PATH", "");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(1), "{screen}");
    let failure = screen.failure();
    assert_eq!(failure.error.kind, "missing-program");
    screen.complains("there is no program `git` on the PATH");
}

#[test]
fn the_first_publication_that_fails_leaves_nothing() {
    for kind in ["static", "docker"] {
        let publisher = Publisher::new();
        assert_eq!(publisher.publish(&[kind, "--fail-at", "health-check"]).code, Some(1));
        assert!(publisher.page("/shop/").is_none());
        #[cfg(unix)]
        super::user::eventually("all processes end", || publisher.processes() == 0);
        assert!(!publisher.user.path("routes.json").exists());
    }
}

#[test]
fn a_failed_health_check_names_the_container_and_the_address() {
    let publisher = Publisher::with("static");
    let told = publisher.told(&["docker", "--fail-at", "health-check"]);
    let failure = told.failure();
    assert_eq!((failure.error.kind.as_ref(), failure.attempt), ("health-check", 3));
    let url = failure.metadata["health_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/shop/"), "{url}");
    let error = format!("{url} answers with 404");
    let expected = json!({ "container": "shop-2", "image": "shop:2", "health_url": url, "error": error });
    assert_eq!(serde_json::to_value(&failure.metadata).unwrap(), expected);
    told.screen.complains(&format!("error: \"{error}\""));
    publisher.answers("The shop is open");
    assert_eq!(publisher.entries("releases/shop"), ["current", "shop-1"]);
}

#[test]
fn a_static_version_that_fails_gives_its_link_back() {
    let publisher = Publisher::with("static");
    let repository = publisher.repository();
    let mine = ["static", "--source", "git", "--repository", &repository, "--fail-at", "health-check"];
    let screen = publisher.publish(&mine);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.tells("↶ 5/7  Update routes");
    screen.tells("current is shop-1 again");
    publisher.answers("The shop is open");
    assert_eq!(publisher.entries("releases/shop"), ["current", "shop-1"]);
}

#[test]
fn a_failure_inside_is_the_error_of_the_step_around_it() {
    let publisher = Publisher::new();
    let told = publisher.told(&["nodejs", "--fail-at", "run-container/update-routes"]);
    let failure = told.failure();
    assert_eq!((failure.step.as_ref().unwrap().id(), failure.error.kind.as_ref()), ("run-container", "routing"));
    let nested = failure.error.nested.as_deref().unwrap();
    assert_eq!((nested.workflow.as_ref(), nested.step.as_ref().unwrap().id()), ("docker", "update-routes"));
    assert_eq!(nested.run.to_string(), format!("{}/run-container/docker", failure.run));
    assert_eq!(nested.metadata["container"], "shop-1");
    let statuses: Vec<_> = nested.steps.iter().map(|step| step.before_undo.unwrap_or(step.status)).collect();
    use StepStatus as S;
    assert_eq!(statuses, [S::Completed, S::Completed, S::Completed, S::Failed, S::Pending, S::Pending]);
    told.screen.tells("\"nested\":{");
    let screen = publisher.publish(&["nodejs", "--fail-at", "run-container/update-routes"]);
    screen.tells("    ✗ 4/6  Update routes");
    screen.tells("✗ 3/3  Run container");
    screen.complains("1: the routes cannot be updated");
}

#[test]
fn a_rollback_reaches_into_nested_runs() {
    let told = Publisher::new().told(&["nodejs", "--fail-at", "run-container/health-check"]);
    let undone = |nested: &str| {
        let events = told.events(nested).into_iter();
        let ends = events.filter_map(|event| match event.kind {
            Kind::UndoEnd(end) => {
                assert_eq!(end.status, UndoStatus::Undone);
                Some(end.step.id().to_owned())
            }
            _ => None,
        });
        ends.collect::<Vec<_>>()
    };
    assert_eq!(undone("/run-container/docker"), ["update-routes", "copy-files", "build-image", "get-context"]);
    assert_eq!(undone("/run-container/docker/get-context/source"), ["make-room"]);
    assert_eq!(undone("/pull-source/source"), ["make-room"]);
    assert_eq!(undone(""), ["run-container", "pull-source"]);
    // This one had completed, and goes on backwards.
    let events = told.events("/pull-source/source");
    assert!(events.iter().any(|event| event.event_type() == EventType::RunResume));
    for nested in ["", "/pull-source/source", "/run-container/docker", "/run-container/docker/get-context/source"] {
        assert_eq!(told.state(nested).status(), RunStatus::RolledBack, "{nested}");
    }
}

#[cfg(unix)]
#[test]
fn what_cannot_be_retired_is_a_warning_and_retired_the_next_time() {
    let publisher = Publisher::with("docker");
    let mut command = publisher.user.command("publish", &["docker", "--strict"]);
    command.env("PUBLISH_FAIL_AT", "activate");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(3), "{screen}");
    screen.tells("! 6/6  Activate");
    screen.tells("completed with 1 warning in");
    assert_eq!(publisher.processes(), 3);
    let screen = publisher.publish(&["docker"]);
    screen.tells("shop-2 is retired, shop-1 is retired");
    assert_eq!(publisher.processes(), 2);
}

#[test]
fn the_dockerfile_is_to_blame() {
    let publisher = Publisher::new();
    let pages = publisher.pages("bucket/v1");
    let bucket = pages.parent().unwrap().display().to_string();
    let cases = [
        ("FROM scratch\n\nCOPY ../.. /\n", "Dockerfile, line 3: `../..` leads out of its folder"),
        ("COPY . .\n", "Dockerfile, line 1: there is no `FROM`"),
        ("FROM scratch\nEXPOSE me\n", "Dockerfile, line 2: `me` is no port"),
        ("FROM scratch\nCOPY gone /\n", "cannot build a layer of the image"),
    ];
    for (text, message) in cases {
        fs::write(pages.join("Dockerfile"), text).unwrap();
        let told = publisher.told(&["docker", "--source", "bucket", "--bucket", &bucket, "--key", "v1"]);
        assert_eq!((told.failed_at().as_str(), told.failure().error.message.as_str()), ("build-image", message));
    }
    fs::remove_file(pages.join("Dockerfile")).unwrap();
    let told = publisher.told(&["docker", "--source", "bucket", "--bucket", &bucket, "--key", "v1"]);
    assert_eq!(told.failure().error.message, "the source has no Dockerfile");
}

#[test]
fn an_order_that_makes_no_sense() {
    let publisher = Publisher::new();
    let cases: [(&[&str], &str); 8] = [
        (&["static", "--source", "git"], "--repository"),
        (&["static", "--file", "shop.tar.gz"], "--file goes with --source upload"),
        (
            &["source", "--source", "bucket", "--bucket", ".", "--key", "k", "--branch", "b"],
            "--branch goes with --source git",
        ),
        (&["static", "--source", "ftp"], "[possible values: git, upload, bucket, embedded]"),
        (&["static", "--app", "../up"], "a name has small letters"),
        (&["nodejs", "--fail-at", "docker"], "run-container/build-image"),
        (&["wasm"], "unrecognized subcommand 'wasm'"),
        (&[], "Usage: publish <COMMAND>"),
    ];
    for (arguments, text) in cases {
        let screen = publisher.publish(arguments);
        assert_eq!(screen.code, Some(2), "{screen}");
        screen.complains(text);
    }
    fs::create_dir(publisher.user.path("")).unwrap();
    fs::write(publisher.user.path("diary.txt"), "Dear diary").unwrap();
    let screen = publisher.publish(&["static"]);
    assert_eq!((screen.code, publisher.entries("").len()), (Some(2), 1), "{screen}");
    screen.complains("demo holds something else");
}

#[test]
fn without_an_engine_that_answers_docker_is_wrong_usage() {
    let publisher = Publisher::new();
    let mut command = publisher.user.command("publish", &["docker", "--docker"]);
    command.env("PATH", "");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("no Docker engine answers");
}
