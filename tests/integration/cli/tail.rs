//! `step-machine tail`: from another process than the one that drives the run.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;

use step_machine::Journal;
use step_machine::journal::{Append, Claim};

use super::{Course, Desk, Release, Screen, command, new_year};
use crate::flows::user::{User, eventually};
use crate::sqlite::{event, events};

#[test]
fn a_run_that_is_over_is_told_from_its_start_and_its_end_is_the_exit_code() {
    let desk = Desk::new();
    Course::default().run("well", desk.journal(), &new_year());
    Course { start_fails: true, ..Course::default() }.run("failed", desk.journal(), &new_year());
    Course { start_fails: true, is_undone: true, ..Course::default() }.run("undone", desk.journal(), &new_year());
    drop(Release::machine().id("cancelled").journal(desk.journal()).clock(new_year()).begin().unwrap());
    for (run, code) in [("well", 0), ("failed", 1), ("undone", 1), ("cancelled", 130)] {
        let screen = desk.run(&["tail", run]);
        assert_eq!(screen.code, Some(code), "{screen}");
        assert!(screen.stdout.starts_with(&format!("   0.000 s  release: 3 steps, run {run}\n")), "{screen}");
        let shown = desk.says(&["show", run]);
        let timeline = shown.split_once("\ntimeline\n").unwrap().1;
        let timeline: Vec<_> = timeline.lines().map(|line| &line[2..]).collect();
        assert_eq!(screen.stdout.lines().collect::<Vec<_>>(), timeline, "the same as on the timeline");
    }
}

struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_run_of_another_process_is_followed_to_its_end() {
    let user = User::new();
    let journal = user.path("runs.db").display().to_string();
    let mut slow = user.command("provision", &["--id", "slow", "--boot-seconds", "3"]).spawn().unwrap();
    eventually("the run begins", || Screen::of(command(&journal, &["show", "slow"])).code == Some(0));
    let mut tail = Following(command(&journal, &["tail", "slow", "--from-start"]).spawn().unwrap());
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap().trim_start(), "0.000 s  provision: 9 steps, run slow");
    assert!(lines.by_ref().any(|line| line.ends_with("> 9/9  Wait for cloud-init")), "the step that takes long begins");
    assert_eq!(slow.try_wait().unwrap(), None, "it is told while it runs");
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("✓ 9/9  Wait for cloud-init")), "{rest:?}");
    assert!(rest.last().unwrap().contains("completed in "), "{rest:?}");
    assert_eq!(tail.0.wait().unwrap().code(), Some(0));
    assert!(slow.wait().unwrap().success());
}

#[test]
fn a_run_whose_process_died_is_followed_until_another_one_ends_it() {
    let user = User::new();
    let journal = user.path("runs.db").display().to_string();
    let died = user.run("provision", &["--id", "web", "--crash-at", "open-tofu-plan"]);
    assert_eq!(died.code, None, "{died}");
    let mut tail = Following(command(&journal, &["tail", "web", "--json"]).spawn().unwrap());
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let screen = user.provision(&["--resume", "web"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(first["type"], "run_resume", "what was there before is not told");
    let last: serde_json::Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["status"]), (&"run_end".into(), &"completed".into()));
    assert_eq!(tail.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_step_that_stalls_is_told_of_while_it_does() {
    let desk = Desk::new();
    let journal = desk.journal();
    let lease = journal.claim(&Claim::of("web")).wait().unwrap().lease;
    journal.append(Append::new(&lease, &events("web", 2))).wait().unwrap();
    let mut tail = Following(desk.command(&["tail", "web", "--from-start"]).spawn().unwrap());
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.ends_with("> 1/1  Apply")));
    let stalled = event("web", 3, r#""type":"stalled","step":"apply","silent_ms":1000.0"#);
    journal.append(Append::new(&lease, &[stalled])).wait().unwrap();
    assert!(lines.next().unwrap().ends_with("warning: nothing was heard for 1.000 s"));
    let ended = event("web", 4, r#""type":"run_end","status":"cancelled","duration_ms":3.0"#);
    journal.append(Append::new(&lease, &[ended])).wait().unwrap();
    assert_eq!(lines.filter(|line| line.contains("nothing was heard")).count(), 0, "it is told once");
    assert_eq!(tail.0.wait().unwrap().code(), Some(130));
}

#[test]
fn a_run_that_is_abandoned_is_not_followed_any_more() {
    let user = User::new();
    let journal = user.path("runs.db").display().to_string();
    let died = user.run("provision", &["--id", "web", "--crash-at", "open-tofu-plan"]);
    assert_eq!(died.code, None, "{died}");
    let show = || Screen::of(command(&journal, &["show", "web", "--brief"]));
    for part in ["\nstatus    running\n", " left\n", "\nowner     process "] {
        show().tells(part);
    }
    let mut tail = Following(command(&journal, &["tail", "web"]).spawn().unwrap());
    let screen = Screen::of(command(&journal, &["abandon", "web", "--why", "the machine\nis gone"]));
    assert_eq!(screen.code, Some(0), "{screen}");
    assert_eq!(tail.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    tail.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("step-machine: run web was abandoned at 20"), "{said}");
    assert!(said.ends_with("Z, and nobody goes on with it: the machine is gone\n"), "{said}");

    let shown = show().stdout;
    assert!(shown.contains("\nstatus    abandoned\nabandoned 20"), "{shown}");
    assert!(shown.contains("Z, when it was running: the machine is gone\n"), "{shown}");
    assert!(!shown.contains(" left\n") && !shown.contains("owner"), "{shown}");
}

#[test]
fn a_run_that_was_abandoned_after_its_end_is_told_as_a_whole_and_that_it_was() {
    let desk = Desk::new();
    drop(Release::machine().id("cancelled").journal(desk.journal()).clock(new_year()).begin().unwrap());
    desk.says(&["abandon", "cancelled", "--why", "gone"]);
    let screen = desk.run(&["tail", "cancelled", "--json"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    assert!(screen.stdout.lines().all(|line| line.starts_with('{')), "{screen}");
    screen.complains(", and nobody goes on with it: gone\n");
}
