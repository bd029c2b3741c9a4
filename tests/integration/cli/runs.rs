//! `step-machine runs`.

use std::time::{Duration, SystemTime};

use step_machine::time::ManualClock;

use super::{Course, Desk};
use crate::sqlite::{event, events};
use crate::support::seed;

/// Three runs, the oldest of which was heard of three hours ago.
fn desk() -> Desk {
    let desk = Desk::new();
    let clock = ManualClock::starting_at(SystemTime::now() - Duration::from_secs(3 * 3600 + 60));
    let fails = Course { start_fails: true, ..Course::default() };
    Course::default().run("web-1", desk.journal(), &clock);
    clock.advance(Duration::from_secs(3600));
    fails.run("web-2", desk.journal(), &clock);
    clock.advance(Duration::from_secs(3600));
    Course { is_undone: true, ..fails }.run("shop-10", desk.journal(), &clock);
    desk
}

#[test]
fn the_newest_comes_first_in_aligned_columns() {
    assert_eq!(
        desk().says(&["runs"]),
        "\
RUN      WORKFLOW  STATUS       DONE  STEP   AGO
shop-10  release   rolled_back   20%  start  60m
web-2    release   failed        20%  start   2h
web-1    release   completed    100%  start   3h
"
    );
}

#[test]
fn a_filter_leaves_what_fits_it() {
    let desk = desk();
    let names = |arguments: &[&str]| -> Vec<String> {
        let runs = desk.lines(&[&["runs", "--json"], arguments].concat());
        runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["shop-10", "web-2", "web-1"]);
    assert_eq!(names(&["--status", "failed"]), ["web-2"]);
    assert_eq!(names(&["--status", "failed,rolled_back"]), ["shop-10", "web-2"]);
    assert_eq!(names(&["--label", "ticket=OPS-5"]), ["web-2", "web-1"]);
    assert_eq!(names(&["--label", "ticket=OPS-5", "--limit", "1"]), ["web-2"]);
    assert_eq!(names(&["--workflow", "other"]), [""; 0]);
    assert_eq!(names(&["--stalled", "1s"]), [""; 0], "all have ended");
    assert_eq!(desk.says(&["runs", "--workflow", "other"]), "no runs\n");
    assert_eq!(desk.says(&["runs", "--limit", "1"]).lines().last(), Some("(the newest 1; `--limit` shows more)"));
}

#[test]
fn a_run_as_json_has_what_the_journal_knows() {
    let runs = desk().lines(&["runs", "--json", "--status", "failed"]);
    let run = &runs[0];
    assert_eq!(run["workflow"], "release");
    assert_eq!(run["status"], "failed");
    assert_eq!(run["phase"], "start");
    assert_eq!(run["labels"]["ticket"], "OPS-5");
    assert_eq!(run["error"], "port 80 is taken, \"again\"\nby nginx");
    assert!(run["updated_at"].as_str().unwrap().ends_with('Z'), "{run}");
}

#[test]
fn a_run_whose_process_died_counts_as_stalled() {
    let desk = Desk::new();
    let clock = ManualClock::starting_at(SystemTime::now() - Duration::from_secs(600));
    let journal = desk.journal();
    let run = super::Release::machine().id("web-1").journal(journal).clock(clock).begin().unwrap();
    let names = |span| desk.lines(&["runs", "--json", "--stalled", span]).len();
    assert_eq!((names("5m"), names("15m")), (1, 0));
    drop(run);
    assert_eq!(names("5m"), 0, "it was cancelled when it was dropped");
}

#[test]
fn a_run_inside_of_which_something_is_heard_does_not_count_as_stalled() {
    let desk = Desk::new();
    let journal = desk.journal();
    seed(&journal, &events("web-1", 3));
    let inside = |at: SystemTime| {
        let mut inside = event(
            "web-1/apply/w",
            1,
            r#""type":"run_start","plan":{"workflow":"w","steps":[{"id":"apply","name":"Apply"}]},
                "parent":{"run":"web-1","step":"apply"}"#,
        );
        inside.at = at;
        inside
    };
    let names = |more: &[&str]| -> Vec<String> {
        let found = desk.lines(&[&["runs", "--json", "--stalled", "5m"][..], more].concat());
        found.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["web-1"]);
    seed(&journal, &[inside(SystemTime::now())]);
    assert_eq!((names(&[]), names(&["--all"])), (Vec::new(), Vec::new()));
}

#[test]
fn a_wide_table_is_cut_to_the_screen_but_never_an_id() {
    let desk = Desk::new();
    let id = "01a1fe11-d1ef-76f8-b01a-5af9b725c617";
    let course = Course { start_fails: true, is_undone: true, ..Course::default() };
    course.run(id, desk.journal(), &super::new_year());
    let long = "a-run-with-a-very-long-name-that-somebody-has-thought-of-to-see-what-becomes-of-it";
    let at = |columns: &str, arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env("COLUMNS", columns);
        crate::flows::user::Screen::of(command)
    };
    let narrow = at("80", &["runs"]);
    narrow.tells(id);
    assert!(narrow.stdout.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    Course::default().run(long, desk.journal(), &super::new_year());
    at("40", &["runs"]).tells(long);
    for what in [&["show", id, "--brief"][..], &["stats", "release"]] {
        let screen = at("72", what);
        let table = screen.stdout.lines().filter(|line| line.contains("fetch") || line.contains("start"));
        assert!(table.clone().count() > 1 && table.clone().all(|line| line.chars().count() <= 72), "{screen}");
    }
}
