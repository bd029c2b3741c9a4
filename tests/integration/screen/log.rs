//! The log for whoever has no terminal.

use std::io::{self, Write};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use step_machine::event::Level;
use step_machine::observe::PlainLog;
use step_machine::{Observer, Workflow};

use super::assert_kept;
use super::script::{Script, rich};
use crate::support::{line, ok};

/// A writer that is looked at later. Clones share one paper.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(script: &Script, options: impl FnOnce(PlainLog<Paper>) -> PlainLog<Paper>) -> String {
    let paper = Paper::default();
    let mut log = options(PlainLog::new(paper.clone()));
    script.events.iter().for_each(|event| log.event(event));
    drop(log);
    paper.text()
}

#[test]
fn a_log_has_the_lines_of_the_run_and_their_times_where_wanted() {
    assert_kept("rich.txt", &logged(&rich(), |log| log));
    assert_kept("rich-debug.txt", &logged(&rich(), |log| log.level(Level::Debug)));
    let timed = logged(&rich(), |log| log.timestamps().level(Level::Warning));
    assert_eq!(timed.lines().next().unwrap(), "2026-01-01T00:00:00.020Z ! 1/6  Init  warning: the disk is nearly full");
    let without = logged(&rich(), |log| log.level(Level::Warning));
    let stripped: Vec<_> = timed.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(stripped, without.lines().collect::<Vec<_>>());
}

#[test]
fn a_log_has_colours_only_where_they_are_asked_for() {
    assert!(!logged(&rich(), |log| log).contains('\u{1b}'));
    let colored = logged(&rich(), |log| log.colors(true));
    assert!(colored.contains("\n    \u{1b}[32m✓\u{1b}[0m 1/2  Find"), "{colored}");
}

#[test]
fn in_github_actions_output_is_grouped_and_errors_are_annotations() {
    let mut script = Script::default();
    let s = script.start_with("web", &[("a", "Apply 100%"), ("b", "B")], &[("b", r#""critical":false"#)], ",parallel");
    s.begin("web", "a").output("web", "a", "::error::from a command").output("web", "a", "##[error]of the old kind");
    s.begin("web", "b").output("web", "b", "between").output("web", "a", "50%");
    s.message("web", "a", "warning", "slow").wait(5);
    let error =
        |text: &str| format!(r#""error":{{"kind":"network","message":"{text}","chain":["no route\nto host"]}}"#);
    s.end("web", "b", "skipped", 5, &format!(r#""reason":"failed",{}"#, error("5% lost")));
    s.output("web", "a", "the end");
    s.end("web", "a", "failed", 5, &error("it ended:\\nexit code 1 \\u001b[31mof 100%"));
    s.over("web", "failed");
    assert_kept("github.txt", &logged(&script, |log| log.github_actions(true)));
}

#[test]
fn a_writer_that_fails_ends_the_log_and_not_the_run() {
    struct Full(Sender<()>);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.send(()).unwrap();
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Workflow)]
    enum Two {
        One,
        Other,
    }

    let (sender, writes) = mpsc::channel();
    let run = Two::machine().observe(PlainLog::new(Full(sender))).begin().unwrap();
    let report = run.step(two::One, ok).unwrap().step(two::Other, ok).unwrap().finish().unwrap();
    assert_eq!(report.observer_faults(), []);
    assert_eq!(writes.iter().count(), 1, "once is enough");
}

/// Hands on what is written, and is gone when its log is.
struct Wire(Sender<String>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_silence_it_says_what_is_still_running_until_the_run_ends() {
    let mut script = Script::default();
    script.start("web", &[("a", "A"), ("b", "B")], &[]).complete("web", "a", 10).begin("web", "b");
    script.message("web", "b", "info", "waiting for the server");
    let (sender, written) = mpsc::channel();
    let mut log = PlainLog::new(Wire(sender)).still_running_after(Duration::from_millis(20));
    script.events.iter().for_each(|event| log.event(event));
    let still: Vec<String> = written.iter().filter(|line| line.contains("still running")).take(3).collect();
    for said in &still {
        assert!(
            said.starts_with("… 2/2  B    0.") && said.ends_with(" s  still running: waiting for the server\n"),
            "{said}"
        );
    }
    script.events.clear();
    script.end("web", "b", "completed", 60, "").over("web", "completed");
    script.events.iter().for_each(|event| log.event(event));
    assert_eq!(line(script.events.last().unwrap()), "run_end completed");
    drop(log);
    let rest: Vec<String> = written.iter().collect();
    assert_eq!(rest.last().unwrap(), "completed in 0.010 s\n", "the thread is gone with the run: {rest:?}");
}

#[test]
fn without_a_silence_there_is_no_thread_to_say_so() {
    let mut script = Script::default();
    script.start("web", &[("a", "A")], &[]).begin("web", "a");
    let told = logged(&script, |log| log.still_running_after(None));
    assert_eq!(told, "w: 1 step, run web\n");
}
