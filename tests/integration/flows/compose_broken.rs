//! `compose`, broken at every step: what it says, what is taken back, and what answers afterwards.

use serde_json::{Value, json};
use step_machine::Workflow;
use step_machine::event::{Effect, Reason, RunStatus, StepStatus};
use step_machine_examples::steps::ComposeStep;

use super::compose_site::{Shop, compose_file, start_and_end, story};
use super::deploy_site::undone;
use super::user::Screen;

/// One test a step: broken there, it fails there, as this kind of error, for this reason; these are taken back.
macro_rules! broken {
    ($($test:ident: $step:ident, $kind:literal, $text:literal, [$($undone:literal),*];)*) => {$(
        #[test]
        fn $test() {
            fails_at(ComposeStep::$step, $kind, $text, &[$($undone),*]);
        }
    )*};
}

broken! {
    a_lock_that_somebody_has: Initializing, "locked", "the project `shop` is locked by process", [];
    a_file_in_the_place_of_the_mirror: Fetching, "fetch", "mirror.git", [];
    a_branch_that_was_deleted: Resolving, "resolution", "`main` is no commit of", [];
    a_file_in_the_place_of_the_worktree: Worktree, "worktree", "already exists", ["worktree"];
    an_image_that_nobody_has_made: Validating, "validation",
        "service `api`, key `image`: there is no image nothing:0 in the registry", ["worktree"];
    a_layer_that_was_changed_on_the_way: Pulling, "checksum", "is damaged: its checksum is", ["worktree"];
    half_a_layer: Starting, "image", "cannot be unpacked", ["starting", "worktree"];
    a_service_that_lost_its_page: HealthCheck, "health-check", "service `api` is not well", ["starting", "worktree"];
    a_route_that_cannot_be_written: Traefik, "routing", "the requests cannot be led to shop-2",
        ["traefik", "starting", "worktree"];
    a_record_that_cannot_be_written: Complete, "storage", "current.json",
        ["complete", "traefik", "starting", "worktree"];
}

fn fails_at(broken: ComposeStep, kind: &str, text: &str, taken_back: &[&str]) {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.told(&["--fail-at", broken.id()]);
    assert_eq!(screen.code, Some(1), "{screen}");
    names_the_step(&screen, broken, kind, text);
    assert_eq!(attempted(&story(&screen)), expected(broken, taken_back));
    let status = if taken_back.is_empty() { RunStatus::Failed } else { RunStatus::RolledBack };
    assert_eq!(screen.run_end().status, status);
    // The version before answers, and of the new one nothing is left.
    shop.runs("1.0.0", "shop-1");
    assert_eq!(
        (shop.names("worktrees"), shop.names("services")),
        (vec!["shop-1".to_owned()], vec!["shop-1".to_owned()])
    );
    assert_eq!(shop.names("records"), ["shop-1.json"]);
    screen.complains("answers 200: web 1.0.0, api 1.0.0, db 1");
    assert_eq!(shop.names("traces").len(), 1);
    // The damage was for that run only.
    let screen = shop.compose(&["--strict"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    shop.runs("2.0.0", "shop-3");
}

fn names_the_step(screen: &Screen, broken: ComposeStep, kind: &str, text: &str) {
    let failure = screen.failure();
    assert_eq!(failure.step.as_ref().unwrap(), &broken.id());
    assert_eq!((&*failure.error.kind, failure.error.effect), (kind, Effect::Known));
    let texts: Vec<&String> = std::iter::once(&failure.error.message).chain(&failure.error.chain).collect();
    assert!(texts.iter().any(|part| part.contains(text)), "`{text}` is not in {texts:?}");
    screen.complains(&format!("step {}/11 `{}` of `compose` failed ({kind})", broken.index() + 1, broken.id()));
}

/// The events without the attempts that were followed by another one.
fn attempted(story: &[String]) -> Vec<String> {
    let mut once = Vec::<String>::new();
    for event in story {
        if event.starts_with("step_retry") {
            once.pop();
        } else {
            once.push(event.clone());
        }
    }
    once
}

/// The events of a run that fails at `broken`.
fn expected(broken: ComposeStep, taken_back: &[&str]) -> Vec<String> {
    let mut story = vec!["run_start ".to_owned()];
    story.extend(ComposeStep::steps().take(broken.index() + 1).flat_map(start_and_end));
    story.extend(taken_back.iter().flat_map(|step| undone(step)));
    story.push("run_end ".to_owned());
    story
}

#[test]
fn what_is_tried_again_says_how_often() {
    let shop = Shop::new();
    for (step, attempts) in [("fetching", 3), ("resolving", 1), ("health-check", 6), ("traefik", 1)] {
        let state = shop.told(&["--fail-at", step]).state();
        assert_eq!(state.step(step).unwrap().attempts(), attempts, "{step}");
    }
}

#[test]
fn a_cleanup_that_fails_is_a_warning() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.compose(&["--fail-at", "cleanup"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("warning (worktree)");
    screen.tells("completed with 1 warning");
    shop.runs("2.0.0", "shop-2");
    let screen = shop.told(&["--fail-at", "cleanup", "--strict"]);
    assert_eq!(screen.code, Some(3), "{screen}");
    let state = screen.state();
    let step = state.step("cleanup").unwrap();
    assert_eq!((step.status(), step.reason()), (StepStatus::Skipped, Some(Reason::Failed)));
    // What was left is cleaned up the next time.
    assert_eq!(shop.compose(&["--strict"]).code, Some(0));
    assert_eq!(shop.names("services"), ["shop-3", "shop-4"]);
    assert_eq!(shop.names("worktrees"), ["shop-3", "shop-4"]);
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing_running() {
    let shop = Shop::new();
    for step in ["starting", "traefik", "complete"] {
        let screen = shop.compose(&["--fail-at", step]);
        assert_eq!(screen.code, Some(1), "{screen}");
        screen.complains("nothing answers");
        shop.nothing_runs();
        let left = ["services", "worktrees", "routes", "records"].map(|folder| shop.names(folder).len());
        assert_eq!(left, [0; 4], "{step}");
        assert!(!shop.user.path("current.json").exists());
    }
    assert_eq!(shop.compose(&[]).code, Some(0));
    shop.runs("2.0.0", "shop-4");
}

#[test]
fn without_a_rollback_everything_is_left_as_it_is() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.told(&["--no-rollback", "--fail-at", "complete"]);
    assert_eq!((screen.code, screen.run_end().status), (Some(1), RunStatus::Failed), "{screen}");
    screen.complains("nothing was taken back");
    assert_eq!(shop.ask("/deployment").unwrap().1, "shop-2");
    // It can go on where it failed.
    let screen = shop.told(&["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert_eq!(story(&screen), ["run_resume ", "step_start complete", "step_end complete", "run_end "]);
    shop.runs("2.0.0", "shop-2");
}

#[test]
fn services_that_were_gone_are_started_again() {
    let shop = Shop::with(&["v1.0.0"]);
    // As after the machine was switched off: of one service the process is gone.
    let api = shop.user.path("services/shop-1/api/listening.json");
    std::fs::remove_file(&api).unwrap();
    super::user::eventually("the service ends", || shop.processes().len() == 3);
    assert_eq!(shop.ask("/").unwrap().0, 500);
    let screen = shop.compose(&["--fail-at", "health-check"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.tells("shop-1 answers again");
    shop.runs("1.0.0", "shop-1");
}

#[test]
fn a_service_that_dies_says_why() {
    let shop = Shop::with(&["v1.0.0"]);
    let file = compose_file("2.0.0", |services| services["api"]["command"] = json!(["serve", "shop.html"]));
    let screen = shop.told(&["--repository", &shop.repository(&file)]);
    names_the_step(&screen, ComposeStep::Starting, "service-start", "image api:2.0.0 has no shop.html");
    shop.runs("1.0.0", "shop-1");
}

/// A compose file with something wrong names the service and the key, for people and for machines.
#[test]
fn a_compose_file_that_is_wrong_names_the_service_and_the_key() {
    let shop = Shop::with(&["v1.0.0"]);
    let cases: [(fn(&mut Value), [&str; 2], &str); 10] = [
        (|services| services["web"]["image"] = json!("web:9"), ["web", "image"], "there is api:1.0.0, api:2.0.0, db:1"),
        (|services| services["db"]["depends_on"] = json!(["web"]), ["api", "depends_on"], "api -> db -> web -> api"),
        (|services| services["db"]["depends_on"] = json!(["cache"]), ["db", "depends_on"], "no service `cache`"),
        (|services| services["web"]["port"] = json!(5432), ["web", "port"], "5432 is the port of `db` already"),
        (|services| services["web"]["port"] = json!("8080"), ["web", "port"], "invalid type: string"),
        (|services| drop(services["api"].as_object_mut().unwrap().remove("image")), ["api", "image"], "missing field"),
        (|services| services["api"]["imgae"] = json!("api:1.0.0"), ["api", "imgae"], "unknown field"),
        (|services| services["api"]["healthcheck"] = json!({}), ["api", "healthcheck.path"], "missing field"),
        (|services| services["db"]["command"] = json!(["postgres"]), ["db", "command"], "knows `serve FILE`"),
        (|services| services["db"]["labels"] = json!({ "traefik.enable": "true" }), ["web", "labels"], "`db` has"),
    ];
    for (change, [service, key], text) in cases {
        let screen = shop.told(&["--repository", &shop.repository(&compose_file("1.0.0", change))]);
        names_the_step(&screen, ComposeStep::Validating, "validation", text);
        let failure = screen.failure();
        let named = format!("service `{service}`, key `{key}`");
        assert!(failure.error.chain.iter().any(|part| part.starts_with(&named)), "{named}: {:?}", failure.error.chain);
        assert_eq!((&failure.metadata["service"], &failure.metadata["key"]), (&json!(service), &json!(key)));
    }
    shop.runs("1.0.0", "shop-1");
}

#[test]
fn a_compose_file_that_is_none_says_so() {
    let shop = Shop::new();
    let file = |services: Value| json!({ "services": services });
    for (file, text) in [
        (file(json!({})), "it has no services"),
        (json!({ "servcies": {} }), "it is no compose file"),
        (compose_file("1.0.0", |services| services["web"]["labels"] = json!({})), "no service has the label"),
    ] {
        let screen = shop.told(&["--repository", &shop.repository(&file)]);
        names_the_step(&screen, ComposeStep::Validating, "validation", text);
    }
}
