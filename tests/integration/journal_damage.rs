//! Histories that are not what a run wrote: they are never built upon.

use step_machine::{IllegalReason, JournalError, RunId, StepContext, Workflow};

use crate::support::{TextJournal, Trouble, refuse};

#[derive(Workflow, Debug)]
enum Release {
    #[step(output = String)]
    Build,
    Sign,
}
use release::{Build, Sign};

fn build(_: &mut StepContext) -> Result<String, Trouble> {
    Ok("v1.tar".to_owned())
}

/// Changes the text of one line.
fn replace(line: usize, from: &'static str, to: &'static str) -> impl Fn(&mut Vec<String>) {
    move |lines| {
        assert!(lines[line].contains(from), "{}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
    }
}

#[test]
fn a_damaged_history_is_not_built_upon() {
    type Damage = Box<dyn Fn(&mut Vec<String>)>;
    let cases: [(Damage, u64, &str); 8] = [
        (Box::new(|lines| drop(lines.remove(0))), 2, "a run begins with run_start"),
        (Box::new(|lines| drop(lines.remove(2))), 4, "the next event is number 3"),
        (Box::new(|lines| lines.insert(2, lines[1].clone())), 2, "the next event is number 3"),
        (Box::new(|lines| lines.swap(1, 2)), 3, "the next event is number 2"),
        (Box::new(replace(1, "\"attempt\":1", "\"attempt\":2")), 2, "the next attempt is number 1"),
        (Box::new(replace(1, "\"step\":\"build\"", "\"step\":\"sign\"")), 2, "`build` is not settled yet"),
        (Box::new(replace(1, "\"step\":\"build\"", "\"step\":\"bulid\"")), 2, "the plan has no such step"),
        (Box::new(replace(2, "\"run\":\"v1\"", "\"run\":\"v2\"")), 3, "it belongs to run v2"),
    ];
    for (damage, seq, reason) in cases {
        let journal = TextJournal::new();
        let builder = || Release::machine().id("v1").journal(journal.clone());
        let (run, _) = builder().begin().unwrap().step(Build, build).unwrap();
        drop(run.step(Sign, refuse).unwrap_err());
        journal.damage("v1", damage);
        let error = builder().begin().unwrap_err();
        let JournalError::Corrupt { source, run } = &error else { panic!("{error:?}") };
        assert_eq!((source.seq, source.reason.to_string().as_str(), run), (seq, reason, &RunId::from("v1")));
        assert_eq!(error.to_string(), "run v1: its journal is damaged; restore it, or begin again under another id");
    }
}

#[test]
fn events_that_went_back_in_time_are_damage() {
    let journal = TextJournal::new();
    let builder = || Release::machine().id("v1").journal(journal.clone());
    let (run, _) = builder().begin().unwrap().step(Build, build).unwrap();
    drop(run);
    journal.damage("v1", |lines| {
        let mut event: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        event["elapsed_ms"] = serde_json::json!(1e9);
        lines[1] = event.to_string();
    });
    let error = builder().begin().unwrap_err();
    let JournalError::Corrupt { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source.reason, IllegalReason::TimeWentBack { .. }), "{source}");
    assert_eq!((source.seq, source.step.as_deref()), (3, Some("build")));
}

#[test]
fn a_journal_that_cannot_be_read_says_what_it_cannot_read() {
    let journal = TextJournal::new();
    let builder = || Release::machine().id("v1").journal(journal.clone());
    drop(builder().begin().unwrap());
    journal.damage("v1", |lines| lines[1].truncate(20));
    let error = builder().begin().unwrap_err();
    let JournalError::Read { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "run v1: its journal could not be read");
    assert_eq!(source.to_string(), "line 1: not JSON at column 20: EOF while parsing a string");
}
