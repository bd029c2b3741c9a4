//! The schema of events that is kept in the repository, and whether it tells what an event is from what is none.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use step_machine::event::EventType;
use step_machine::schema::event_schema;

use crate::samples::{rich_run, sample, samples};
use crate::validator::validate;

fn schema() -> Value {
    serde_json::from_str(&event_schema()).unwrap()
}

#[test]
fn the_kept_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json");
    let schema = event_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some_and(|value| value == "1") {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == schema,
        "docs/events.schema.json is not the schema of the event types any more; run this test with UPDATE_SCHEMA=1 \
         to write it anew, and look at what changed as somebody who reads events with an older version"
    );
}

#[test]
fn every_event_of_a_real_run_is_valid() {
    let (schema, events) = (schema(), rich_run());
    for event in &events {
        let value = serde_json::to_value(event).unwrap();
        assert_eq!(validate(&schema, &value), Ok(()), "{value}");
    }
    let mut seen: Vec<_> = events.iter().map(step_machine::Event::event_type).collect();
    seen.sort();
    seen.dedup();
    use EventType as T;
    let all = [
        T::RunStart,
        T::RunResume,
        T::StepStart,
        T::StepUpdate,
        T::StepRetry,
        T::StepEnd,
        T::Stdout,
        T::Stderr,
        T::UndoStart,
        T::UndoEnd,
        T::RunEnd,
    ];
    assert_eq!(seen, all, "the run has every type that the typed machine writes");
}

#[test]
fn an_event_of_each_type_with_all_its_fields_is_valid() {
    let schema = schema();
    for (name, text) in samples() {
        assert_eq!(validate(&schema, &serde_json::from_str(&text).unwrap()), Ok(()), "{name}");
    }
}

/// Fields that an event does without, by their names anywhere in it.
const OPTIONAL: [&str; 41] = [
    "before_undo",
    "progress",
    "current",
    "eta_ms",
    "labels",
    "input",
    "rollback",
    "interrupted",
    "fraction",
    "level",
    "message",
    "metadata",
    "thinned",
    "reason",
    "error",
    "output",
    "secret",
    "sealed",
    "warnings",
    "failure",
    "chain",
    "effect",
    "description",
    "parallel",
    "on_failure",
    "deadline_ms",
    "aliases",
    "critical",
    "skippable",
    "undo",
    "needs",
    "retry",
    "timeout_ms",
    "weight",
    "stalled_after_ms",
    "nested",
    "max_delay_ms",
    "parent",
    "forked",
    "again",
    "parent_attempt",
];

/// Fields that are optional in one place and required in another.
const SOMETIMES: [&str; 6] = ["plan", "step", "workflow", "error", "trace_file", "attempt"];

/// The paths of all fields in `value`, those of user data left out.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}/{name}");
                found.push(path.clone());
                if !["input", "labels", "metadata", "output"].contains(&name.as_str()) {
                    paths(field, &path, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Calls `mutate` with each field of each sample, by its path, and gives the names of those whose mutants are valid.
fn tolerated(mutate: impl Fn(&mut Value, &str, &str) -> bool) -> Vec<String> {
    let schema = schema();
    let mut tolerated = Vec::new();
    for (name, text) in samples() {
        let event: Value = serde_json::from_str(&text).unwrap();
        let mut all = Vec::new();
        paths(&event, "", &mut all);
        for path in all {
            let (parent, field) = path.rsplit_once('/').unwrap();
            let mut mutant = event.clone();
            if mutate(mutant.pointer_mut(parent).unwrap(), field, &path) && validate(&schema, &mutant).is_ok() {
                tolerated.push(format!("{name}{path}"));
            }
        }
    }
    tolerated
}

#[test]
fn an_event_without_a_field_that_it_needs_is_not_valid() {
    let mut unexpected = tolerated(|parent, field, _| {
        let known = OPTIONAL.contains(&field) || SOMETIMES.contains(&field);
        !known && parent.as_object_mut().is_some_and(|fields| fields.remove(field).is_some())
    });
    unexpected.sort();
    assert_eq!(unexpected, [""; 0]);

    let schema = schema();
    for (event, path) in [
        ("run_start", "/plan"),
        ("run_start", "/plan/workflow"),
        ("step_start", "/step"),
        ("step_retry", "/error"),
        ("step_end", "/workflow"),
        ("undo_end", "/step"),
        ("run_end", "/failure/error"),
        ("run_end", "/failure/rollback/undos/0/step"),
    ] {
        let mut mutant: Value = serde_json::from_str(&sample(event)).unwrap();
        let (parent, field) = path.rsplit_once('/').unwrap();
        mutant.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
        assert!(validate(&schema, &mutant).is_err(), "{event} without {path}");
    }
}

#[test]
fn an_event_with_a_field_of_another_type_is_not_valid() {
    for wrong in [json!([[1]]), json!({ "no": 1 }), json!(-1.5), json!(true)] {
        let tolerated = tolerated(|parent, field, path| {
            // What the user gives may be anything.
            if ["/input", "/output"].contains(&path) && !path.contains("/steps/") || path.ends_with("/metadata") {
                return false;
            }
            let Some(value) = parent.get_mut(field) else { return false };
            let same_kind = std::mem::discriminant(value) == std::mem::discriminant(&wrong);
            let was = std::mem::replace(value, wrong.clone());
            !(same_kind && (was.is_boolean() || was.is_f64() || field == "labels"))
        });
        // A negative time span is a number all the same; reading refuses it.
        let spans = |name: &&String| !(wrong.is_f64() && (name.ends_with("_ms")));
        assert_eq!(tolerated.iter().filter(spans).collect::<Vec<_>>(), Vec::<&String>::new(), "{wrong}");
    }
}

#[test]
fn a_word_that_is_not_of_the_vocabulary_is_not_valid() {
    let schema = schema();
    for (event, path) in [
        ("step_end", "/status"),
        ("step_end", "/reason"),
        ("step_end", "/error/effect"),
        ("step_update", "/level"),
        ("task_end", "/status"),
        ("undo_end", "/status"),
        ("run_end", "/status"),
        ("run_end", "/failure/steps/0/status"),
        ("run_start", "/plan/on_failure"),
        ("run_start", "/type"),
        ("run_start", "/at"),
    ] {
        let mut mutant: Value = serde_json::from_str(&sample(event)).unwrap();
        *mutant.pointer_mut(path).unwrap() = json!("somehow");
        assert!(validate(&schema, &mutant).is_err(), "{event}{path}");
    }
}
