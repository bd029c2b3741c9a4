//! The command on a journal in PostgreSQL.

use std::process::Command;

use step_machine::Journal;
use step_machine::journal::{Append, Claim};

use super::{Course, Desk, Release, Screen, command, new_year};
use crate::postgres::Place;

/// What the desk has, in PostgreSQL.
fn moved(desk: &Desk, runs: &[&str]) -> Place {
    let place = Place::new();
    let journal = place.open();
    for run in runs {
        let events = desk.journal().load(&(*run).into()).wait().unwrap();
        let lease = journal.claim(&Claim::of(*run)).wait().unwrap().lease;
        let mut append = Append::new(&lease, &events);
        append.release = true;
        journal.append(append).wait().unwrap();
    }
    place
}

fn at(place: &Place, arguments: &[&str]) -> Command {
    let mut command = command(&place.url, arguments);
    command.env("STEP_MACHINE_SCHEMA", &place.schema);
    command
}

fn says(place: &Place, arguments: &[&str]) -> String {
    let screen = Screen::of(at(place, arguments));
    assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
    screen.stdout
}

#[test]
fn it_tells_the_same_as_of_a_file() {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    let fails = Course { retries: 1, start_fails: true, is_undone: true, ..Course::default() };
    fails.run("web-2", desk.journal(), &new_year());
    let place = moved(&desk, &["web-1", "web-2"]);
    for arguments in [
        &["runs"][..],
        &["runs", "--json"],
        &["runs", "--label", "ticket=OPS-5", "--status", "completed"],
        &["show", "web-2"],
        &["show", "web-2", "--json"],
        &["stats", "release"],
        &["graph", "web-1"],
        &["export", "web-1", "web-2", "--format", "csv"],
        &["export", "web-1", "web-2", "--format", "otlp-json"],
        &["check"],
        &["tail", "web-1"],
        &["prune", "--older-than", "1s", "--dry-run"],
    ] {
        assert_eq!(says(&place, arguments), desk.says(arguments), "{arguments:?}");
    }
    assert_eq!(Screen::of(at(&place, &["tail", "web-2"])).code, Some(1));
    assert_eq!(Screen::of(at(&place, &["show", "web"])).code, Some(3));
    assert_eq!(says(&place, &["prune", "--older-than", "1h"]), "2 runs removed\n");
    assert_eq!(says(&place, &["runs"]), "no runs\n");
}

#[test]
fn a_run_that_cannot_be_listed_as_it_is_is_found() {
    let desk = Desk::new();
    Course::default().run("web-1", desk.journal(), &new_year());
    let place = moved(&desk, &["web-1"]);
    assert_eq!(says(&place, &["check"]), "1 run read: nothing is wrong\n");
    place.rows("UPDATE run SET labels = '[1]'");
    let screen = Screen::of(at(&place, &["check"]));
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.tells("run web-1: what the journal has of it cannot be read: its labels: invalid type: ");
}

#[test]
fn a_run_that_somebody_drives_is_read_and_cannot_be_abandoned() {
    let place = Place::new();
    let run = Release::machine().id("web-1").journal(place.open()).begin().unwrap();
    assert!(says(&place, &["show", "web-1"]).contains("status    running\n"));
    let screen = Screen::of(at(&place, &["abandon", "web-1", "--why", "it hangs"]));
    assert_eq!(screen.code, Some(5), "{screen}");
    drop(run);
    says(&place, &["abandon", "web-1", "--why", "it hung"]);
}

#[test]
fn a_journal_that_cannot_be_read_is_an_error_and_no_finding() {
    let desk = Desk::new();
    Course { start_fails: true, ..Course::default() }.run("web-1", desk.journal(), &new_year());
    let place = moved(&desk, &["web-1"]);
    let snapshot = desk.folder.path().join("release.json");
    std::fs::write(&snapshot, serde_json::to_string(<Release as step_machine::Workflow>::plan()).unwrap()).unwrap();
    // As for a user who may not read all of it, or of a server that goes away.
    place.rows("ALTER TABLE record RENAME checksum TO other");
    let snapshot = snapshot.to_str().unwrap();
    for arguments in
        [&["check"][..], &["check", "--run", "web-1"], &["check", "--snapshot", snapshot], &["stats", "release"]]
    {
        let screen = Screen::of(at(&place, arguments));
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(4), ""), "{arguments:?}: {screen}");
        screen.complains("run web-1: its journal could not be read");
    }
}

#[test]
fn a_database_without_a_journal_is_left_without_one() {
    let place = Place::new();
    for arguments in [&["runs"][..], &["abandon", "x", "--why", "y"]] {
        let screen = Screen::of(at(&place, arguments));
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(4), ""), "{screen}");
        screen.complains(
            "cannot be used: name the database that the runs are kept in, and their schema: it has no journal\n",
        );
    }
    let screen = Screen::of(command("postgres://nobody@127.0.0.1:1/none", &["runs"]));
    assert_eq!(screen.code, Some(4), "{screen}");
    assert_eq!(screen.stderr.lines().count(), 1, "{screen}");
    assert_eq!(screen.stderr.matches("see whether the server runs").count(), 1, "{screen}");
    let desk = Desk::new();
    let mut with_schema = desk.command(&["runs"]);
    with_schema.env("STEP_MACHINE_SCHEMA", "runs");
    assert_eq!(Screen::of(with_schema).code, Some(2));
}
