//! `step-machine stats`.

use std::time::Duration;

use super::{Course, Desk, new_year};

fn desk() -> Desk {
    let desk = Desk::new();
    let clock = new_year();
    for fetch in 1..=10 {
        let course = Course { fetch, retries: u32::from(fetch == 4), start_fails: fetch == 10, ..Course::default() };
        course.run(&format!("web-{fetch}"), desk.journal(), &clock);
    }
    desk
}

#[test]
fn spans_are_told_by_percentile_and_failures_by_kind() {
    assert_eq!(
        desk().says(&["stats", "release"]),
        "\
release: 10 runs (9 completed, 1 failed)

           DONE       P50       P90       P99  RETRIES  SKIPPED
whole run     9  11.000 s  15.000 s  15.000 s        1
fetch        10   6.000 s  10.000 s  10.000 s        1
start         9   5.000 s   5.000 s   5.000 s
announce      0                                               9

failures
  STEP   KIND        TIMES  SURVIVED  LAST
  fetch  network         1         1  no answer from the registry
  start  port-taken      1         0  port 80 is taken, \"again\" by nginx
"
    );
}

#[test]
fn the_same_for_machines() {
    let stats = desk().lines(&["stats", "release", "--json"]).pop().unwrap();
    assert_eq!(stats["runs"], 10);
    assert_eq!(stats["statuses"], serde_json::json!({ "completed": 9, "failed": 1 }));
    assert_eq!(stats["duration"]["count"], 9);
    assert_eq!(stats["steps"][0]["id"], "fetch");
    assert_eq!(stats["steps"][0]["retries"], 1);
    assert_eq!(stats["steps"][0]["duration"]["p50_ms"], 6000.0);
    assert_eq!(stats["steps"][1]["duration"]["p99_ms"], 5000.0);
    assert_eq!(stats["steps"][2]["skipped"], 9);
    let kinds: Vec<_> = stats["failures"].as_array().unwrap().iter().map(|failure| &failure["kind"]).collect();
    assert_eq!(kinds, ["network", "port-taken"]);
    assert_eq!(stats["failures"][0]["survived"], 1);
}

#[test]
fn only_the_newest_runs_count_where_that_is_asked_for() {
    let stats = desk().lines(&["stats", "release", "--limit", "2", "--json"]).pop().unwrap();
    assert_eq!(stats["statuses"], serde_json::json!({ "completed": 1, "failed": 1 }));
}

#[test]
fn a_run_that_went_on_later_counts_as_long_as_it_was_at_work_and_what_began_again_as_tried_again() {
    let desk = Desk::new();
    let clock = new_year();
    Course { start_fails: true, ..Course::default() }.run("web-1", desk.journal(), &clock);
    clock.advance(Duration::from_secs(3600));
    Course::default().run("web-1", desk.journal(), &clock);
    let stats = desk.lines(&["stats", "release", "--json"]).pop().unwrap();
    let steps = [&stats["steps"][0], &stats["steps"][1]];
    assert_eq!(stats["duration"]["p50_ms"], 11_000.0, "six seconds, then five");
    assert_eq!(steps.map(|step| &step["duration"]["p50_ms"]), [1000.0, 5000.0]);
    assert_eq!(steps.map(|step| &step["retries"]), [0, 1]);
}

#[test]
fn a_run_that_was_given_up_is_counted_as_that() {
    let desk = desk();
    desk.says(&["abandon", "web-10", "--why", "gone"]);
    let text = desk.says(&["stats", "release"]);
    assert!(text.starts_with("release: 10 runs (1 abandoned, 9 completed)\n"), "{text}");
}

#[test]
fn a_workflow_without_runs_is_not_found() {
    let screen = desk().run(&["stats", "relase"]);
    assert_eq!(screen.code, Some(3), "{screen}");
    screen.complains("there is no run of workflow `relase`; `step-machine runs` shows of which there are some");
}
