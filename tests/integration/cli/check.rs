//! `step-machine check` and `step-machine graph`.

use std::fs;

use step_machine::{Preview, Workflow};

use super::{Course, Desk, Release, new_year};

/// Changes a letter of what was written of a run.
pub(super) fn damage(desk: &Desk, run: &str) {
    let connection = rusqlite::Connection::open(desk.path()).unwrap();
    let change = "UPDATE record SET body = replace(body, 'OPS', 'SPO')
        WHERE run = (SELECT key FROM run WHERE id = ?1) AND first_seq = 1";
    assert_eq!(connection.execute(change, [run]).unwrap(), 1);
}

fn desk() -> Desk {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    Course { start_fails: true, ..Course::default() }.run("web-2", desk.journal(), &new_year());
    desk
}

#[test]
fn damage_is_found_run_by_run() {
    let desk = desk();
    assert_eq!(desk.says(&["check"]), "2 runs read: nothing is wrong\n");
    assert_eq!(desk.says(&["check", "--run", "web-1"]), "1 run read: nothing is wrong\n");
    damage(&desk, "web-1");
    let screen = desk.run(&["check"]);
    assert_eq!((screen.code, screen.stderr.as_str()), (Some(1), ""), "{screen}");
    screen.tells("run web-1: its journal is damaged: events 1 to ");
    assert_eq!(screen.stdout.lines().last(), Some("2 runs read: 1 found"));
    assert_eq!(desk.run(&["check", "--run", "web-1"]).code, Some(1));
    assert_eq!(desk.run(&["check", "--run", "web-2"]).code, Some(0));
    let screen = desk.run(&["check", "--json"]);
    let found: serde_json::Value = serde_json::from_str(screen.stdout.trim()).unwrap();
    assert_eq!((screen.code, &found["run"]), (Some(1), &"web-1".into()));
}

#[test]
fn a_run_that_cannot_be_listed_as_it_is_is_found_by_itself_too() {
    let desk = desk();
    let change = "UPDATE run SET labels = '{' WHERE id = 'web-2'";
    rusqlite::Connection::open(desk.path()).unwrap().execute(change, []).unwrap();
    for (arguments, end) in
        [(&["check"][..], "2 runs read: 1 found"), (&["check", "--run", "web-2"], "1 run read: 1 found")]
    {
        let screen = desk.run(arguments);
        assert_eq!(screen.code, Some(1), "{screen}");
        screen.tells("run web-2: what the journal has of it cannot be read: its labels: EOF while parsing an object ");
        assert_eq!(screen.stdout.lines().last(), Some(end));
    }
    assert_eq!(desk.run(&["check", "--run", "web-1"]).code, Some(0));
}

/// A snapshot as `assert_resumable!` keeps it, after a change.
fn snapshot(desk: &Desk, change: impl Fn(&mut serde_json::Value)) -> String {
    let mut plan = serde_json::to_value(Release::plan()).unwrap();
    change(&mut plan);
    let path = desk.folder.path().join("release.json");
    fs::write(&path, plan.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_run_that_could_not_go_on_by_a_snapshot_is_named_with_the_reason() {
    let desk = desk();
    let same = snapshot(&desk, |_| ());
    let text = "1 run of `release` that can go on: nothing is wrong\n";
    assert_eq!(desk.says(&["check", "--snapshot", &same]), text, "the other one has completed");
    let lost = snapshot(&desk, |plan| plan["steps"][1]["id"] = "launch".into());
    let screen = desk.run(&["check", "--snapshot", &lost]);
    assert_eq!(screen.code, Some(1), "{screen}");
    assert_eq!(
        screen.stdout,
        "run web-2: step `start` is gone (if it was renamed, give it `alias = \"start\"`)\n\
         1 run of `release` that can go on: 1 found\n"
    );
    assert_eq!(desk.run(&["check", "--snapshot", &lost, "--run", "web-2"]).code, Some(1));
    let other = snapshot(&desk, |plan| plan["workflow"] = "other".into());
    assert_eq!(desk.run(&["check", "--snapshot", &other, "--run", "web-2"]).code, Some(2));
    let screen = desk.run(&["check", "--snapshot", desk.path().to_str().unwrap()]);
    assert_eq!(screen.code, Some(4), "{screen}");
    screen.complains("is no snapshot of a workflow: ");
}

#[test]
fn a_graph_is_that_of_the_plan() {
    let desk = desk();
    let snapshot = snapshot(&desk, |_| ());
    let preview = Preview::of(Release::plan());
    for what in [&["graph", "web-1"][..], &["graph", "--snapshot", &snapshot]] {
        let with = |format| desk.says(&[what, &["--format", format]].concat());
        assert_eq!(desk.says(what), preview.to_string());
        assert_eq!(with("mermaid"), preview.to_mermaid());
        assert_eq!(with("dot"), preview.to_dot());
        assert_eq!(with("json"), serde_json::to_string(&preview).unwrap() + "\n");
    }
    assert_eq!(desk.run(&["graph"]).code, Some(2));
}
