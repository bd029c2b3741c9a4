//! `step-machine show`.

use super::{Course, Desk, new_year};
use crate::flows::publisher::Publisher;

#[test]
fn a_run_that_was_rolled_back_is_told_as_a_whole() {
    let desk = Desk::new();
    let course = Course { retries: 1, start_fails: true, is_undone: true, fetch: 2 };
    course.run("web-1", desk.journal(), &new_year());
    assert_eq!(desk.says(&["show", "web-1"]), "");
}

#[test]
fn a_run_that_completed_has_no_error() {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    assert_eq!(desk.says(&["show", "web-1", "--brief"]), "");
}

#[test]
fn nothing_that_was_recorded_steers_the_terminal() {
    let desk = Desk::new();
    Course { retries: 1, start_fails: true, ..Course::default() }.run("web-1", desk.journal(), &new_year());
    for arguments in [&["show", "web-1"][..], &["tail", "web-1"], &["stats", "release"], &["runs"]] {
        let screen = desk.run(arguments);
        let odd = screen.stdout.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(odd, None, "{arguments:?}: {screen}");
        assert!(!screen.stdout.contains("owned"), "{screen}");
    }
}

#[test]
fn a_run_as_json_has_its_steps_and_its_failure() {
    let desk = Desk::new();
    Course { retries: 1, start_fails: true, ..Course::default() }.run("web-1", desk.journal(), &new_year());
    let show = desk.lines(&["show", "web-1", "--json"]).pop().unwrap();
    assert_eq!(show["summary"]["status"], "failed");
    assert_eq!(show["can_resume"], true);
    assert_eq!(show["input"], "v1.2");
    assert_eq!(show["elapsed_ms"], 9000.0);
    assert_eq!(show["plan"]["steps"][1]["weight"], 3.0);
    let steps: Vec<_> = show["steps"].as_array().unwrap().iter().map(|step| &step["status"]).collect();
    assert_eq!(steps, ["completed", "failed", "pending"]);
    assert_eq!(show["steps"][0]["attempts"], 2);
    assert_eq!(show["steps"][0]["duration_ms"], 4000.0);
    assert_eq!(show["steps"][1]["error"]["kind"], "port-taken");
    assert_eq!(show["failure"]["step"], "start");
    assert_eq!(show["progress"]["percentage"], 20.0);
}

#[test]
fn a_nested_run_is_found_by_its_whole_id_and_the_outer_one_by_a_beginning() {
    let publisher = Publisher::new();
    let screen = publisher.publish(&["nodejs", "--id", "shop-1"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let journal = publisher.user.path("runs.db");
    let run = |arguments: &[&str]| crate::flows::user::Screen::of(super::command(journal.to_str().unwrap(), arguments));
    let all = run(&["runs", "--all", "--json"]);
    let runs: Vec<serde_json::Value> = all.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inner = runs.iter().find(|run| run["parent"] == "shop-1").expect("a nested run");
    let inner = inner["run"].as_str().unwrap();
    run(&["show", inner, "--brief"]).tells("inside of shop-1\n");
    run(&["show", "shop", "--brief"]).tells("run       shop-1\n");
    assert_eq!(run(&["runs", "--json"]).stdout.lines().count(), 1, "without --all only the outermost");
}
