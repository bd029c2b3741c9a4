//! `step-machine abandon` and `step-machine prune`.

use step_machine::journal::RunQuery;
use step_machine::{Journal, RunId};

use super::{Course, Desk, Release, new_year};

#[test]
fn a_run_that_somebody_drives_cannot_be_abandoned_and_one_that_failed_can() {
    let desk = Desk::new();
    let journal = desk.journal();
    let run = Release::machine().id("web-1").journal(journal.clone()).begin().unwrap();
    let screen = desk.run(&["abandon", "web-1", "--why", "it hangs"]);
    assert_eq!(screen.code, Some(5), "{screen}");
    screen.complains("step-machine: run web-1 is driven by process ");
    screen.complains("wait for it, stop it, or take the run over by force with `.take_over()`\n");
    drop(run);

    assert_eq!(desk.run(&["abandon", "web-1", "--why", " "]).code, Some(2));
    let text = desk.says(&["abandon", "web-1", "--why", "it hung"]);
    assert_eq!(text, "run web-1 is abandoned; nobody can go on with it\n");
    let error = Release::machine().id("web-1").journal(journal).begin().unwrap_err();
    assert_eq!(error.to_string(), "run web-1 was abandoned: it hung; begin another one under another id");
    assert_eq!(desk.says(&["runs"]), "no runs\n");
    assert!(desk.says(&["runs", "--all"]).contains("web-1  release   abandoned"), "{}", desk.says(&["runs", "--all"]));
    assert!(desk.says(&["show", "web-1"]).contains(": it hung\n"));
}

#[test]
fn a_run_is_abandoned_once_and_for_the_first_reason() {
    let desk = Desk::new();
    Course { start_fails: true, ..Course::default() }.run("web-1", desk.journal(), &new_year());
    let sql = rusqlite::Connection::open(desk.path()).unwrap();
    sql.execute_batch("CREATE TRIGGER keep BEFORE UPDATE ON run BEGIN SELECT RAISE(ABORT, 'not now'); END").unwrap();
    let screen = desk.run(&["abandon", "web-1", "--why", "it hung"]);
    let text = "step-machine: run web-1 could not be given up; try again once the journal can be written: not now: ";
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(4), ""), "{screen}");
    assert!(screen.stderr.starts_with(text) && !screen.stderr.contains("begin it again"), "{screen}");
    sql.execute_batch("DROP TRIGGER keep").unwrap();

    desk.says(&["abandon", "web-1", "--why", "it hung"]);
    let screen = desk.run(&["abandon", "web-1", "--why", "somebody else says so"]);
    let text = "step-machine: run web-1 was abandoned: it hung; begin another one under another id\n";
    assert_eq!((screen.code, screen.stdout.as_str(), screen.stderr.as_str()), (Some(5), "", text));
    assert!(desk.says(&["show", "web-1"]).contains(": it hung\n"));
}

#[test]
fn what_would_be_removed_is_what_is_removed() {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    Course { start_fails: true, ..Course::default() }.run("web-2", desk.journal(), &new_year());
    let under_way = Release::machine().id("web-3").journal(desk.journal()).clock(new_year()).begin().unwrap();
    let ids = |runs: Vec<serde_json::Value>| -> Vec<String> {
        let mut ids: Vec<_> = runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let would_be = |span| ids(desk.lines(&["prune", "--older-than", span, "--dry-run", "--json"]));
    assert_eq!(would_be("1h"), ["web-1", "web-2"]);
    assert_eq!(would_be("300y"), [""; 0]);
    let text = desk.says(&["prune", "--older-than", "1h", "--dry-run"]);
    assert_eq!(text.lines().last(), Some("2 runs would be removed, but for those that somebody drives by then"));
    assert_eq!(desk.says(&["prune", "--older-than", "300y"]), "0 runs removed\n");
    assert_eq!(desk.says(&["prune", "--older-than", "1h"]), "2 runs removed\n");
    let left: Vec<RunId> =
        desk.journal().list(&RunQuery::all()).wait().unwrap().into_iter().map(|run| run.run).collect();
    assert_eq!(left, [RunId::from("web-3")]);
    drop(under_way);
}
