//! Journals of every released format, which are read for ever.
//!
//! A folder `fixtures/v<n>` has what the version `n` of the format looked like: runs as JSON lines, and beside each the
//! state that it folds to. From the first release on **these files are never rewritten and never removed, only added
//! to**: where a test here fails, the code is wrong, and not the file. What a state came to know later may be missing in
//! a file. `ADD_FIXTURES=1` writes those runs of `runner/kept.rs` that have no file yet, in the format of today. What
//! SQLite has of some of them is kept too: see `old_files`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use step_machine::event::{EVENT_VERSION, Event, EventLines, RunStatus};
use step_machine::schema::event_schema;
use step_machine::{Journal, RunId, RunState, StepState, TaskState, Undo};

use crate::runner::kept;
use crate::support::{Recorded, TextJournal, ok, seed, unreachable_body};
use crate::validator::validate;

pub(crate) fn folder(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("integration/fixtures/v{version}"))
}

/// The names of the runs of a version.
fn names(version: u16) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(version)).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let names = entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect()
}

pub(crate) fn read(version: u16, file: &str) -> String {
    let path = folder(version).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn events(version: u16, name: &str) -> Vec<Event> {
    let text = read(version, &format!("{name}.jsonl"));
    EventLines::new(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("v{version} {name}: {error}"))
}

/// The states of all runs among the events; a nested run's stand between those of the run that it is in.
pub(crate) fn states(events: &[Event]) -> BTreeMap<RunId, RunState> {
    let mut runs = BTreeMap::<RunId, Vec<&Event>>::new();
    for event in events {
        runs.entry(event.run.clone()).or_default().push(event);
    }
    runs.into_iter().map(|(run, events)| (run, RunState::fold(events).unwrap().unwrap())).collect()
}

/// What a reader can ask a state, as JSON without what there is none of.
pub(crate) fn facts(states: &BTreeMap<RunId, RunState>) -> Value {
    states.values().map(run_facts).collect()
}

fn run_facts(state: &RunState) -> Value {
    let steps: Vec<Value> =
        state.plan().steps.iter().zip(state.steps()).map(|(info, step)| step_facts(&info.id, step)).collect();
    without_nothing(json!({
        "run": state.run(),
        "workflow": state.workflow(),
        "parent": state.parent(),
        "labels": state.labels(),
        "input": state.input(),
        "status": state.status(),
        "seq": state.seq(),
        "elapsed_ms": state.elapsed().as_secs_f64() * 1e3,
        "warnings": state.warnings(),
        "progress": state.progress(),
        "failure": state.failure(),
        "to_undo": state.to_undo(),
        "steps": steps,
    }))
}

fn step_facts(id: &str, step: &StepState) -> Value {
    without_nothing(json!({
        "id": id,
        "status": step.status(),
        "reason": step.reason(),
        "attempts": step.attempts(),
        "waiting": step.is_waiting(),
        "interrupted": step.is_interrupted(),
        "fraction": step.fraction(),
        "duration_ms": step.duration().map(|span| span.as_secs_f64() * 1e3),
        "output": step.output(),
        "error": step.error(),
        "skipped_because": step.skipped_because(),
        "message": step.message(),
        "metadata": step.metadata(),
        "tasks": step.tasks().iter().map(task_facts).collect::<Vec<_>>(),
        "before_undo": step.before_undo(),
        "undo": match step.undo() {
            Undo::Ended(status) => json!(status),
            Undo::Running => json!("running"),
            _ => Value::Null,
        },
        "undo_attempts": step.undo_attempts(),
        "undo_error": step.undo_error(),
        "undo_message": step.undo_message(),
    }))
}

fn task_facts(task: &TaskState) -> Value {
    json!({"id": task.id, "name": task.name, "status": task.status, "fraction": task.fraction, "message": task.message})
}

fn without_nothing(mut facts: Value) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        value => *value == json!(0),
    };
    facts.as_object_mut().unwrap().retain(|_, value| !is_nothing(value));
    facts
}

/// Whether all that `kept` says is so; there may be more.
pub(crate) fn says(found: &Value, kept: &Value) -> bool {
    match (found, kept) {
        (Value::Object(found), Value::Object(kept)) => {
            kept.iter().all(|(name, kept)| found.get(name).is_some_and(|found| says(found, kept)))
        }
        (Value::Array(found), Value::Array(kept)) => {
            found.len() == kept.len() && found.iter().zip(kept).all(|(found, kept)| says(found, kept))
        }
        _ => found == kept,
    }
}

fn add(name: &str, events: &[Event]) {
    let file = |extension| folder(EVENT_VERSION).join(format!("{name}.{extension}"));
    let lines: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    let facts = serde_json::to_string_pretty(&facts(&states(events))).unwrap() + "\n";
    fs::create_dir_all(folder(EVENT_VERSION)).unwrap();
    fs::write(file("jsonl"), lines).unwrap();
    fs::write(file("state.json"), facts).unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_run_that_is_to_be_kept_is() {
    let adds = std::env::var_os("ADD_FIXTURES").is_some_and(|value| value == "1");
    for (name, events) in kept::runs().await {
        if adds && !names(EVENT_VERSION).contains(name) {
            add(name, &events);
        }
        assert!(
            names(EVENT_VERSION).contains(name),
            "fixtures/v{EVENT_VERSION} has no `{name}`; run this test with ADD_FIXTURES=1 to add it"
        );
    }
}

#[test]
fn what_was_recorded_in_any_format_folds_to_the_same_state() {
    for version in 1..=EVENT_VERSION {
        assert!(!names(version).is_empty(), "fixtures/v{version} has runs");
        for name in names(version) {
            let events = events(version, &name);
            assert!(events.iter().all(|event| event.v == version), "v{version} {name}");
            let kept: Value = serde_json::from_str(&read(version, &format!("{name}.state.json"))).unwrap();
            let found = facts(&states(&events));
            assert!(
                says(&found, &kept),
                "v{version} {name} folds to another state than it did when it was released:\n{found:#}"
            );
        }
    }
}

#[test]
fn what_was_recorded_is_written_again_as_it_was() {
    for name in names(EVENT_VERSION) {
        let text = read(EVENT_VERSION, &format!("{name}.jsonl"));
        for (line, event) in text.lines().zip(events(EVENT_VERSION, &name)) {
            let (kept, written) = (serde_json::from_str::<Value>(line).unwrap(), serde_json::to_value(&event).unwrap());
            assert!(says(&written, &kept), "{name}: {line}\nis written as\n{written}");
        }
    }
}

#[test]
fn what_was_recorded_is_valid_by_the_schema_of_today() {
    let schema = serde_json::from_str(&event_schema()).unwrap();
    for version in 1..=EVENT_VERSION {
        for name in names(version) {
            for line in read(version, &format!("{name}.jsonl")).lines() {
                let valid = validate(&schema, &serde_json::from_str(line).unwrap());
                assert_eq!(valid, Ok(()), "v{version} {name}: {line}");
            }
        }
    }
}

#[test]
fn the_kept_runs_have_all_that_a_run_can_have() {
    let all: Vec<Event> = names(1).iter().flat_map(|name| events(1, name)).collect();
    let types: BTreeSet<_> = all.iter().map(|event| event.event_type().to_string()).collect();
    // None of them is silent for as long as the runner tells of by `stalled`.
    assert_eq!(types.len(), 14, "{types:?}");
    let ended =
        |name: &String| states(&events(1, name)).into_values().map(|state| state.status().to_string()).collect();
    let statuses: BTreeSet<String> = names(1).iter().flat_map(|name| -> Vec<_> { ended(name) }).collect();
    assert_eq!(
        statuses,
        ["cancelled", "completed", "failed", "rolled_back", "running", "stuck"].map(str::to_owned).into()
    );
}

mod today {
    /// What the run `failed` goes on with.
    #[derive(step_machine::Workflow)]
    pub(super) enum Line {
        #[step(output = u32)]
        Fetch,
        Build,
        Scan,
        Announce,
        Deploy,
        Check,
        Celebrate,
    }
}

/// Goes on with a run of the enum that is called `Line` in `runner`, to its end.
pub(crate) fn goes_on<J: Journal + Clone + 'static>(run: &str, journal: &J) {
    use today::line::{Announce, Build, Celebrate, Check, Deploy, Fetch, Scan};
    let seen = Recorded::new();
    let run = today::Line::machine().id(run).journal(journal.clone()).observe(seen.clone()).begin().unwrap();
    let (run, fetched) = run.step(Fetch, unreachable_body).unwrap();
    let run = run.step(Build, ok).unwrap().step(Scan, ok).unwrap().step(Announce, ok).unwrap();
    let run = run.step(Deploy, ok).unwrap().step(Check, ok).unwrap().step(Celebrate, ok).unwrap();
    assert_eq!(run.finish().unwrap().state().status(), RunStatus::Completed);
    assert_eq!(fetched, 7);
    assert_eq!(seen.lines()[0], "run_resume");
}

#[test]
fn a_run_of_an_old_format_goes_on() {
    for version in 1..=EVENT_VERSION {
        for name in ["failed", "interrupted"].into_iter().filter(|name| names(version).contains(*name)) {
            let journal = TextJournal::new();
            seed(&journal, &events(version, name));
            goes_on("line/1", &journal);
            assert_eq!(journal.fold("line/1").unwrap().unwrap().status(), RunStatus::Completed);
        }
    }
}
