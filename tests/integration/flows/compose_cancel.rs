//! Ctrl-C, crashes, and two deployments of a project at once.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use serde_json::json;
use step_machine::Workflow;
use step_machine::event::{Kind, RunStatus, StepStatus};
use step_machine_examples::steps::ComposeStep;

use super::compose_site::{Shop, compose_file};
use super::deploy_site::is_valid;
use super::user::{Screen, eventually};

/// Deploys on a slow line, and comes back when an image is on its way.
fn pulling(shop: &Shop, kilobytes: &str, arguments: &[&str]) -> Child {
    let command = [&["--bandwidth", kilobytes, "--format", "json"], arguments].concat();
    let child = shop.user.command("compose", &command).spawn().unwrap();
    let is_pulling = || shop.names("images").iter().any(|name| is_half(name));
    eventually("an image is on its way", is_pulling);
    child
}

/// Whether a layer is on its way: one that is here is named by its checksum alone.
fn is_half(layer: &str) -> bool {
    layer.contains('.')
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

fn ended(child: Child) -> Screen {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Screen { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn the_second_ctrl_c_cuts_pulling_off_and_all_is_taken_back() {
    let shop = Shop::with(&["v1.0.0"]);
    // A minute and more.
    let child = pulling(&shop, "10", &[]);
    interrupt(&child);
    std::thread::sleep(std::time::Duration::from_millis(100));
    interrupt(&child);
    let screen = ended(child);
    assert_eq!(screen.code, Some(130), "{screen}");
    is_valid(&screen);
    let state = screen.state();
    assert_eq!(state.status(), RunStatus::RolledBack);
    assert_eq!(state.step("pulling").unwrap().status(), StepStatus::Cancelled);
    screen.complains("answers 200: web 1.0.0, api 1.0.0, db 1");
    assert_eq!(shop.names("worktrees"), ["shop-1"]);
    // What was half pulled is pulled again.
    assert_eq!(shop.compose(&["--strict"]).code, Some(0));
    shop.runs("2.0.0", "shop-3");
}

#[test]
fn the_first_ctrl_c_lets_pulling_finish() {
    let shop = Shop::with(&["v1.0.0"]);
    let child = pulling(&shop, "500", &[]);
    interrupt(&child);
    let screen = ended(child);
    assert_eq!(screen.code, Some(130), "{screen}");
    let state = screen.state();
    assert_eq!(state.step("pulling").unwrap().status(), StepStatus::Completed);
    assert_eq!(state.step("starting").unwrap().status(), StepStatus::Pending);
    shop.runs("1.0.0", "shop-1");
}

#[test]
fn of_two_deployments_at_once_one_is_told_who_has_the_project() {
    let shop = Shop::with(&["v1.0.0"]);
    let mut child = pulling(&shop, "10", &["--id", "slow"]);
    let screen = shop.compose(&["--id", "quick"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run quick needs `shop` for itself, which run slow holds, driven by process ");
    screen.complains(&child.id().to_string());
    // One that keeps no run, and so knows of no other one by a journal, finds the file.
    let screen = shop.compose(&["--journal", "none"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains(&format!(
        "the project `shop` is locked by process {}, which deploys shop-2 in run slow",
        child.id()
    ));
    let screen = shop.compose(&["stop"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("the project `shop` is locked by process");
    assert_eq!(shop.ask("/deployment").unwrap().1, "shop-1");
    // A process that dies lets go of everything.
    child.kill().unwrap();
    child.wait().unwrap();
    let screen = shop.compose(&["--strict"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.complains("given up for a new one: slow  running at pulling");
    eventually("the registry of the process that died ends", || shop.processes().len() == 4);
    assert_eq!(shop.ask("/").unwrap().1, "web 2.0.0, api 2.0.0, db 1\n");
}

#[test]
fn what_takes_its_time_to_get_well_is_waited_for() {
    let shop = Shop::new();
    let file = compose_file("1.0.0", |services| services["db"]["x-warm-up"] = json!(1));
    let screen = shop.told(&["--repository", &shop.repository(&file)]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let attempts = screen.state().step("health-check").unwrap().attempts();
    assert!((2..=6).contains(&attempts), "{attempts}");
}

#[test]
fn what_was_pulled_before_a_crash_is_not_pulled_again() {
    let shop = Shop::new();
    let mut child = pulling(&shop, "400", &["--id", "first"]);
    let whole = || shop.names("images").into_iter().filter(|name| !is_half(name)).collect::<Vec<_>>();
    eventually("a layer is here", || !whole().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let here: u64 = whole().iter().map(|name| fs::metadata(shop.user.path("images").join(name)).unwrap().len()).sum();
    let screen = shop.told(&["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let events = screen.events();
    let mut pulling = events.iter().filter(|event| event.step() == Some("pulling"));
    let Some(Kind::StepStart(start)) = pulling.next().map(|event| &event.kind) else { panic!("{screen}") };
    assert_eq!((start.attempt, start.interrupted), (2, true));
    let pulled = pulling.find_map(|event| match &event.kind {
        Kind::StepUpdate(update) => update.metadata.get("bytes")?.as_u64(),
        _ => None,
    });
    let images = shop.names("images");
    let all: u64 = images.iter().map(|name| fs::metadata(shop.user.path("images").join(name)).unwrap().len()).sum();
    assert_eq!((pulled, here > 0), (Some(all - here), true));
    shop.runs("2.0.0", "shop-1");
}

/// At every step, before it, during it or after it in turn.
#[test]
fn a_crash_at_any_step_says_how_to_go_on_and_that_goes_on() {
    let shop = Shop::with(&["v1.0.0"]);
    for (number, step) in (2..).zip(ComposeStep::steps()) {
        let when = ["before", "during", "after"][number % 3];
        let (id, crash_at) = (format!("{}-{when}", step.id()), format!("{}:{when}", step.id()));
        let tag = ["v2.0.0", "v1.0.0"][number % 2];
        let mut command = shop.user.command("compose", &["--crash-at", &crash_at, "--id", &id, "--ref", tag]);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.signal(), Some(9), "{stderr}");
        let words = format!("died at {}; go on with it: cargo run --example compose", step.id());
        assert!(stderr.contains(&words), "{stderr}");
        let screen = shop.compose(&["--resume"]);
        assert_eq!(screen.code, Some(0), "{crash_at}: {screen}");
        screen.tells(&format!("compose: run {id} goes on, "));
        shop.runs(&tag[1..], &format!("shop-{number}"));
        // That of the version before, and its own: not that of the attempt that died.
        assert_eq!(shop.names("worktrees").len(), 2, "{crash_at}: {:?}", shop.names("worktrees"));
    }
}

#[test]
fn a_crash_on_the_way_back_goes_on_backwards() {
    let shop = Shop::with(&["v1.0.0"]);
    for (number, step) in (2..).zip(["complete", "traefik", "starting", "worktree"]) {
        let mut command =
            shop.user.command("compose", &["--fail-at", "complete", "--crash-at", &format!("{step}:undo")]);
        assert_eq!(command.output().unwrap().status.signal(), Some(9), "{step}");
        // What was in the way stays there, as nobody could take it away.
        let blocked = shop.user.path("current.new");
        if blocked.exists() {
            fs::remove_dir(blocked).unwrap();
        }
        let screen = shop.told(&["--resume"]);
        assert_eq!((screen.code, screen.run_end().status), (Some(1), RunStatus::RolledBack), "{step}: {screen}");
        shop.runs("1.0.0", "shop-1");
        assert_eq!(shop.names("worktrees"), ["shop-1"], "{number}");
    }
}
