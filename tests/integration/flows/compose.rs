//! `compose`: the first version, the next one, and what its options do.

use std::fs;

use serde_json::json;
use step_machine::Workflow;
use step_machine::event::{Kind, Reason, RunStatus, StepStatus};
use step_machine_examples::steps::ComposeStep;

use super::compose_site::{Shop, commit, compose_file, start_and_end, story};
use super::user::eventually;

#[test]
fn the_first_deployment_tells_one_line_a_step_and_leaves_three_services() {
    let shop = Shop::new();
    let screen = shop.compose(&["--ref", "v1.0.0"]);
    assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
    let lines: Vec<&str> = screen.stdout.lines().filter(|line| line.starts_with(['✓', '-'])).collect();
    assert_eq!(lines.len(), 11, "{screen}");
    for (number, (line, step)) in (1..).zip(lines.into_iter().zip(ComposeStep::steps())) {
        let mark = if step == ComposeStep::Cleanup { '-' } else { '✓' };
        assert!(line.starts_with(mark) && line.contains(&format!("{number}/11  {}", step.info().name)), "{line}");
    }
    screen.tells("shop-1, the first one");
    screen.tells("skipped: there is nothing else");
    screen.tells("answers 200: web 1.0.0, api 1.0.0, db 1");
    shop.runs("1.0.0", "shop-1");
}

#[test]
fn the_second_version_takes_the_place_of_the_first() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.told(&["--id", "second", "--ticket", "OPS-7", "--by", "eve"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    shop.runs("2.0.0", "shop-2");
    let mut expected = vec!["run_start ".to_owned()];
    expected.extend(ComposeStep::steps().flat_map(start_and_end));
    expected.push("run_end ".to_owned());
    assert_eq!(story(&screen), expected);
    let Kind::RunStart(start) = &screen.events()[0].kind else { panic!("{screen}") };
    let labels = ["project", "deployment", "ticket", "by"].map(|key| &*start.labels[key]);
    assert_eq!(labels, ["shop", "shop-2", "OPS-7", "eve"]);
    let current = shop.user.read_json("current.json");
    assert_eq!((&current["run"], &current["reference"]), (&json!("second"), &json!("main")));
    let state = screen.state();
    assert_eq!(current["commit"], state.step("resolving").unwrap().output().unwrap()["commit"]);
    let worktree = state.step("worktree").unwrap().output().unwrap()["folder"].as_str().unwrap().to_owned();
    assert!(fs::read_to_string(format!("{worktree}/compose.json")).unwrap().contains("web:2.0.0"));
    let order = state.step("validating").unwrap().output().unwrap()["services"].as_array().unwrap().clone();
    assert_eq!(order.iter().map(|service| &service["name"]).collect::<Vec<_>>(), ["db", "api", "web"]);
}

#[test]
fn what_is_here_is_not_pulled_again_and_what_nobody_needs_goes() {
    let shop = Shop::with(&["v1.0.0"]);
    let pulled = |screen: &super::user::Screen| {
        let state = screen.state();
        state.step("pulling").unwrap().metadata().unwrap()["bytes"].as_u64().unwrap()
    };
    let first = shop.names("images");
    assert_eq!(first.len(), 4, "what all stand on, and one for each image");
    // What all stand on and the database are here.
    let screen = shop.told(&["--ref", "v2.0.0"]);
    assert!((600_000..800_000).contains(&pulled(&screen)), "{}", pulled(&screen));
    // One that was damaged since is pulled again.
    let layer = shop.user.path("images").join(&first[0]);
    let intact = fs::read(&layer).unwrap();
    fs::write(&layer, "damaged").unwrap();
    let screen = shop.told(&["--ref", "v1.0.0"]);
    assert_eq!(pulled(&screen), intact.len() as u64);
    assert_eq!(fs::read(&layer).unwrap(), intact);
    // Twice the same: what only the other version has is not needed any more.
    assert_eq!(pulled(&shop.told(&["--ref", "v1.0.0"])), 0);
    assert_eq!(shop.names("images"), first);
    shop.runs("1.0.0", "shop-4");
    // The version before is there to come back to, and no other.
    assert_eq!(
        (shop.names("worktrees"), shop.names("services")),
        (vec_of(["shop-3", "shop-4"]), vec_of(["shop-3", "shop-4"]))
    );
    assert_eq!(shop.names("records").len(), 4);
}

fn vec_of<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_repository_of_the_user_is_deployed_from_any_of_its_commits() {
    let shop = Shop::new();
    assert_eq!(shop.compose(&["image", "api:7", "--size", "1"]).code, Some(0));
    let repository = shop.repository(&compose_file("1.0.0", |services| services["api"]["image"] = json!("api:7")));
    let first = shop.told(&["--repository", &repository, "--project", "mine"]);
    assert_eq!(first.code, Some(0), "{first}");
    assert_eq!(shop.ask("/").unwrap().1, "web 1.0.0, api 7, db 1\n");
    assert_eq!(shop.ask("/deployment").unwrap().1, "mine-1");
    assert_eq!(shop.user.read_json("routes/mine.json")["http"]["routers"]["mine"]["service"], "mine-1");
    commit(repository.as_ref(), "compose.json", &compose_file("2.0.0", |_| {}).to_string());
    assert_eq!(shop.compose(&["--repository", &repository]).code, Some(0));
    assert_eq!(shop.ask("/").unwrap().1, "web 2.0.0, api 2.0.0, db 1\n");
    let commit = first.state().step("resolving").unwrap().output().unwrap()["commit"].as_str().unwrap().to_owned();
    assert_eq!(shop.compose(&["--repository", &repository, "--ref", &commit]).code, Some(0));
    assert_eq!(shop.ask("/").unwrap().1, "web 1.0.0, api 7, db 1\n");
    // The folder is that of one project.
    let screen = shop.compose(&["--project", "other"]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("is where `mine` is deployed");
}

#[test]
fn the_version_before_goes_on_where_it_is_not_cleaned_up() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.told(&["--skip", "cleanup"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert_eq!(screen.state().step("cleanup").unwrap().skipped_because(), Some("--skip was given"));
    eventually("both versions run", || shop.processes().len() == 7);
    assert_eq!(shop.ask("/deployment").unwrap().1, "shop-2");
    assert_eq!(shop.compose(&[]).code, Some(0));
    shop.runs("2.0.0", "shop-3");
}

#[test]
fn it_goes_no_further_than_it_is_to() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.told(&["--only-until", "pulling"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let end = screen.run_end();
    assert_eq!((end.status, end.reason), (RunStatus::Cancelled, Some(Reason::Requested)));
    assert_eq!(screen.state().step("starting").unwrap().status(), StepStatus::Pending);
    shop.runs("1.0.0", "shop-1");
}

#[test]
fn stop_ends_everything_and_is_no_error_twice() {
    let shop = Shop::with(&["v1.0.0"]);
    let screen = shop.compose(&["stop"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(0), "demo: nothing is deployed any more\n"));
    shop.nothing_runs();
    assert!(!shop.user.path("").exists());
    assert_eq!(shop.compose(&["stop"]).stdout, "demo: nothing is deployed\n");
}

#[test]
fn what_is_deployed_ends_where_its_folder_goes() {
    let shop = Shop::with(&["v1.0.0"]);
    fs::remove_dir_all(shop.user.path("")).unwrap();
    eventually("all processes end", || shop.processes().is_empty());
}

#[test]
fn a_plan_and_wrong_usage_leave_nothing() {
    let shop = Shop::new();
    let screen = shop.compose(&["--plan"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("compose: 11 steps, in order");
    screen.tells("in this order: Complete, Traefik, Starting,");
    for (form, text) in [("mermaid", "flowchart TD"), ("dot", "digraph"), ("json", "\"undo_order\"")] {
        shop.compose(&["--plan", form]).tells(text);
    }
    for arguments in [
        ["--fail-at", "helth-check"],
        ["--skip", "complete"],
        ["--project", "../shop"],
        ["--label", "team"],
        ["--bandwidth", "0"],
        ["--level", "debug"],
    ] {
        assert_eq!(shop.compose(&arguments).code, Some(2), "{arguments:?}");
    }
    assert!(!shop.user.path("").exists());
    fs::create_dir_all(shop.user.path("services")).unwrap();
    let screen = shop.compose(&[]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("holds something else");
    assert_eq!(shop.names(""), ["services"]);
}
