//! `step-machine show`.

use super::{Course, Desk, new_year};
use crate::flows::publisher::Publisher;

#[test]
fn a_run_that_was_rolled_back_is_told_as_a_whole() {
    let desk = Desk::new();
    let course = Course { retries: 1, start_fails: true, is_undone: true, fetch: 2 };
    course.run("web-1", desk.journal(), &new_year());
    assert_eq!(
        desk.says(&["show", "web-1"]),
        "\
run       web-1
workflow  release
status    rolled_back
started   2026-01-01T00:00:00Z
took      12.000 s
label     ticket=OPS-5
input     \"v1.2\"

steps
     STEP      STATUS     TRIES  BEGUN AT     TOOK
  1  fetch     completed      2   0.000 s  6.000 s
  2  start     undone         1   6.000 s  5.000 s  was failed
  3  announce  pending

error of step start (port-taken)
  0: port 80 is taken, \"again\"
     by nginx

rollback (rolled_back)
  start: undone

timeline
     0.000 s  release: 3 steps, run web-1
     0.000 s  > 1/3  Fetch
     2.000 s  ↻ 1/3  Fetch  attempt 2 of 3 in 2.0 s: no answer from the registry
     4.000 s  > 1/3  Fetch  attempt 2
     6.000 s  ✓ 1/3  Fetch       6.000 s  2 attempts
     6.000 s  > 2/3  Start
     6.000 s  · 2/3  Start  starting now
     6.000 s    2/3  | a line of the server
    11.000 s  ✗ 2/3  Start       5.000 s  failed (port-taken): port 80 is taken, \"again\"
    11.000 s  failed at step 2/3 after 11.000 s
    11.000 s  release: run web-1 goes on backwards, 1 of 3 steps are completed
    11.000 s  ↶ 2/3  Start  is being undone
    12.000 s  ↶ 2/3  Start       1.000 s  undone
    12.000 s  failed at step 2/3 and rolled back after 12.000 s
"
    );
}

#[test]
fn a_run_that_completed_has_no_error() {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    assert_eq!(
        desk.says(&["show", "web-1", "--brief"]),
        "\
run       web-1
workflow  release
status    completed
started   2026-01-01T00:00:00Z
took      6.000 s
label     ticket=OPS-5
input     \"v1.2\"

steps
     STEP      STATUS     TRIES  BEGUN AT     TOOK
  1  fetch     completed      1   0.000 s  1.000 s
  2  start     completed      1   1.000 s  5.000 s
  3  announce  skipped                              nobody listens
"
    );
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
