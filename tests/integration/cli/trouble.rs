//! What goes wrong, on one line, with an exit code that tells what it was.

use std::fs;
use std::io::Read;

use super::{Course, Desk, Screen, command, new_year};

/// Fails unless it says just this, and ends so.
fn fails(screen: &Screen, code: i32, text: &str) {
    assert_eq!(screen.code, Some(code), "{screen}");
    assert_eq!(screen.stdout, "", "{screen}");
    assert_eq!(screen.stderr, format!("step-machine: {text}\n"));
}

fn desk() -> Desk {
    let desk = Desk::new();
    for id in ["web-1", "web-2", "web-2b", "shop"] {
        Course::default().run(id, desk.journal(), &new_year());
    }
    desk
}

#[test]
fn a_beginning_of_an_id_stands_for_the_only_run_that_has_it() {
    let desk = desk();
    assert!(desk.says(&["show", "s", "--brief"]).starts_with("run       shop\n"));
    assert!(desk.says(&["show", "web-2", "--brief"]).starts_with("run       web-2\n"), "a whole id is no beginning");
    fails(&desk.run(&["show", "web"]), 3, "several runs begin with `web`; name more of the id: web-1, web-2, web-2b");
    let text = "no run has the id `nope`, nor one that begins so; `step-machine runs --all` lists them";
    for arguments in [&["show", "nope"][..], &["tail", "nope"], &["graph", "nope"], &["abandon", "nope", "--why", "x"]]
    {
        fails(&desk.run(arguments), 3, text);
    }
}

#[test]
fn without_a_journal_it_says_how_to_name_one() {
    let text = "no journal is named; say which by `--journal runs.db`, `--journal postgres://user@host/database`, or \
                in STEP_MACHINE_JOURNAL";
    fails(&Screen::of(command("", &["runs"])), 2, text);
    let mut bare = command("", &["runs"]);
    bare.env_remove("STEP_MACHINE_JOURNAL");
    fails(&Screen::of(bare), 2, text);
}

#[test]
fn a_url_of_something_else_is_not_repeated() {
    for url in ["postgress://anna:geheim@host/runs", "Postgres://anna:geheim@host/runs"] {
        let text = "a journal is a file, or a database as in `postgres://user@host/database`";
        fails(&Screen::of(command(url, &["runs"])), 2, text);
    }
}

#[test]
fn the_option_counts_before_the_variable() {
    let desk = desk();
    let journal = desk.path();
    let screen = Screen::of(command("no.db", &["runs", "--journal", journal.to_str().unwrap()]));
    assert_eq!(screen.code, Some(0), "{screen}");
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let desk = Desk::new();
    let path = desk.path().display().to_string();
    let text = format!("there is no journal {path}; name the file that the runs are kept in");
    for arguments in [&["runs"][..], &["abandon", "x", "--why", "y"], &["prune", "--older-than", "1d"], &["check"]] {
        fails(&desk.run(arguments), 4, &text);
    }
    assert_eq!(fs::read_dir(desk.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_no_journal() {
    let desk = Desk::new();
    let folder = desk.folder.path().to_str().unwrap();
    let text = format!("{folder} is a folder; name the file in it that the runs are kept in");
    for arguments in [&["runs"][..], &["prune", "--older-than", "1d"]] {
        fails(&Screen::of(command(folder, arguments)), 4, &text);
    }
    let below = desk.path().join("runs.db").display().to_string();
    std::fs::write(desk.path(), "").unwrap();
    let text = format!("there is no journal {below}; name the file that the runs are kept in");
    fails(&Screen::of(command(&below, &["runs"])), 4, &text);
}

#[test]
fn a_schema_that_is_empty_is_none() {
    let desk = desk();
    let mut command = desk.command(&["show", "shop", "--brief"]);
    command.env("STEP_MACHINE_SCHEMA", "");
    let screen = Screen::of(command);
    assert_eq!((screen.code, screen.stderr.as_str()), (Some(0), ""), "{screen}");
}

#[test]
fn what_the_environment_has_is_not_shown_as_required() {
    let mut command = command("runs.db", &["show"]);
    command.env("STEP_MACHINE_SCHEMA", "runs");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("\nUsage: step-machine show <RUN>\n");
    let help = Screen::of(super::command("runs.db", &["show", "--help"]));
    assert_eq!(help.code, Some(0), "{help}");
    help.tells("[env: STEP_MACHINE_JOURNAL]");
}

#[test]
fn a_limit_is_at_least_one() {
    let desk = desk();
    for arguments in [&["runs", "--limit", "0"][..], &["stats", "release", "--limit", "0"]] {
        let screen = desk.run(arguments);
        assert_eq!((screen.code, screen.stdout.as_str()), (Some(2), ""), "{screen}");
        screen.complains("invalid value '0' for '--limit <N>'");
    }
}

#[test]
fn a_file_that_is_no_journal_is_left_as_it_is() {
    let desk = Desk::new();
    let path = desk.path().display().to_string();
    fs::write(desk.path(), "some notes, and no database").unwrap();
    let text = format!(
        "the journal {path} cannot be used: the file is no SQLite database, or its beginning is damaged: file is not a \
         database"
    );
    for arguments in [&["runs"][..], &["prune", "--older-than", "1d"]] {
        fails(&desk.run(arguments), 4, &text);
    }
    assert_eq!(fs::read_to_string(desk.path()).unwrap(), "some notes, and no database");

    fs::remove_file(desk.path()).unwrap();
    let other = rusqlite::Connection::open(desk.path()).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(other);
    let text = format!(
        "the journal {path} cannot be used: choose another file: the database is something else than a journal"
    );
    fails(&desk.run(&["prune", "--older-than", "1d"]), 4, &text);
}

#[test]
fn a_run_that_cannot_be_read_is_listed_and_not_shown() {
    let desk = desk();
    super::check::damage(&desk, "web-1");
    assert!(desk.says(&["runs"]).contains("web-1 "), "the list reads no run");
    let screen = desk.run(&["show", "web-1"]);
    assert_eq!((screen.code, screen.stdout.as_str()), (Some(4), ""), "{screen}");
    screen.complains("step-machine: run web-1: its journal is damaged: events 1 to ");
    screen.complains("restore the journal from a copy, or give the run up with `abandon`");
    assert_eq!(screen.stderr.lines().count(), 1, "{screen}");
    assert_eq!(desk.lines(&["stats", "release", "--json"])[0]["unreadable"], 1);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let desk = Desk::new();
    let clock = new_year();
    for number in 0..400 {
        Course::default().run(&format!("a-run-with-a-long-name-to-fill-the-pipe-{number}"), desk.journal(), &clock);
    }
    let mut child = desk.command(&["export", "--format", "json", "a-run-with-a-long-name-to-fill-the-pipe-399"]);
    child.args((0..400).map(|number| format!("a-run-with-a-long-name-to-fill-the-pipe-{number}")));
    let mut child = child.spawn().unwrap();
    let mut first = [0];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &[][..]));
}

#[test]
fn reading_leaves_every_byte_as_it_was() {
    let desk = desk();
    let bytes = || {
        let mut files: Vec<_> = fs::read_dir(desk.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            // What readers share for their locks.
            .filter(|path| path.is_file() && path.extension().is_some_and(|end| end != "db-shm"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .filter(|(path, bytes)| path.extension().is_some_and(|end| end != "db-wal") || !bytes.is_empty())
            .collect();
        files.sort();
        files
    };
    let before = bytes();
    for arguments in [
        &["runs"][..],
        &["show", "shop"],
        &["tail", "shop"],
        &["stats", "release"],
        &["graph", "shop"],
        &["export", "shop", "--format", "csv"],
        &["check"],
        &["prune", "--older-than", "1s", "--dry-run"],
    ] {
        desk.says(arguments);
    }
    assert!(before == bytes(), "a file has changed");
}

#[test]
fn help_and_the_manual_page_tell_the_exit_codes() {
    let desk = Desk::new();
    let codes = "130  `tail`: the run was cancelled";
    assert!(desk.says(&["--help"]).contains(codes));
    let page = desk.says(&["man"]);
    for part in
        [".TH step-machine 1", ".SH TAIL", ".SH ENVIRONMENT", ".SH EXIT STATUS\n.TP\n.B 0\n", "STEP_MACHINE_JOURNAL"]
    {
        assert!(page.contains(part), "{part} is not on\n{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(desk.says(&["completions", shell]).contains("abandon"), "{shell}");
    }
    assert_eq!(desk.run(&["rnus"]).code, Some(2));
    desk.run(&["rnus"]).complains("'runs'");
}
