//! Reading events: what is tolerated, what is refused, and whether the words help.

use std::io::{self, BufReader, Read};

use serde_json::{Value, json};
use step_machine::RunState;
use step_machine::event::{Event, EventLines, EventType, Kind, ReadErrorKind};
use step_machine::observe::{JsonLines, Observer};

use crate::samples::{rich_run, sample, samples};

#[test]
fn every_type_reads_back_as_it_was_written() {
    for (name, text) in samples() {
        let event = Event::from_json(&text).unwrap();
        assert_eq!(event.event_type().as_str(), name);
        let (read, written): (Value, Value) =
            (serde_json::from_str(&text).unwrap(), serde_json::to_value(&event).unwrap());
        assert_eq!(read, written, "{name}");
        assert_eq!(Event::from_json(&written.to_string()).unwrap(), event);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "by way of serde too");
    }
}

#[test]
fn a_line_of_a_log_is_what_serde_makes_of_the_event() {
    let unknown = r#"{"v":1,"run":"r \"7\"","workflow":"w\n","seq":4,"at":"2026-01-01T00:00:01.000007Z","elapsed_ms":1.25,
        "type":"weather","is":["fine",{"progress":null}],"progress":{"percentage":12.5,"step_number":1,"total_steps":8,
        "completed":1,"eta_ms":7.5}}"#;
    let texts = samples().into_iter().map(|(_, text)| text).chain([unknown.to_owned()]);
    for text in texts {
        let event = Event::from_json(&text).unwrap();
        let mut log = Vec::new();
        JsonLines::new(&mut log).event(&event);
        assert_eq!(String::from_utf8(log).unwrap(), serde_json::to_string(&event).unwrap() + "\n");
    }
}

#[test]
fn a_real_run_reads_back_and_folds_to_the_same_state() {
    let events = rich_run();
    let text: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    let read: Vec<Event> = EventLines::new(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, events);
    assert_eq!(RunState::fold(&read).unwrap(), RunState::fold(&events).unwrap());
}

/// The error that a changed sample gives; `value` of `None` takes the field away.
fn error(event: &str, path: &str, value: Option<Value>) -> String {
    let mut changed: Value = serde_json::from_str(&sample(event)).unwrap();
    let (parent, field) = path.rsplit_once('/').unwrap();
    match (changed.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(field.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(field).unwrap()),
        (Value::Array(items), Some(value)) => items[field.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{other} has no fields"),
    }
    Event::from_json(&changed.to_string()).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_field_and_what_is_wrong_with_it() {
    let missing = |event, path| error(event, path, None);
    let wrong = |event, path, value| error(event, path, Some(value));
    let cases = [
        (missing("step_start", "/seq"), "line 1: field `seq`: missing field `seq`"),
        (missing("step_start", "/type"), "line 1: field `type`: missing field `type`"),
        (missing("step_start", "/step"), "line 1: field `step`: missing field `step`"),
        (missing("step_retry", "/error/kind"), "line 1: field `error.kind`: missing field `kind`"),
        (missing("run_start", "/plan/steps/1/id"), "line 1: field `plan.steps[1].id`: missing field `id`"),
        (
            missing("run_end", "/failure/rollback/undos/0/status"),
            "line 1: field `failure.rollback.undos[0].status`: missing field `status`",
        ),
        (wrong("step_start", "/v", json!("1")), "line 1: field `v`: invalid type: string \"1\", expected u16"),
        (wrong("step_start", "/run", json!(7)), "line 1: field `run`: invalid type: integer `7`, expected a string"),
        (wrong("step_start", "/seq", json!(-1)), "line 1: field `seq`: invalid value: integer `-1`, expected u64"),
        (
            wrong("step_start", "/attempt", json!(1.5)),
            "line 1: field `attempt`: invalid type: floating point `1.5`, expected u32",
        ),
        (
            wrong("step_start", "/at", json!("yesterday")),
            "line 1: field `at`: `yesterday` is not an RFC 3339 time in UTC: timestamp format is invalid",
        ),
        (
            wrong("step_start", "/elapsed_ms", json!(-3.0)),
            "line 1: field `elapsed_ms`: -3.0 is not a time span in milliseconds",
        ),
        (
            wrong("step_retry", "/delay_ms", json!(1e300)),
            "line 1: field `delay_ms`: 1e300 is not a time span in milliseconds",
        ),
        (
            wrong("step_end", "/status", json!("gone")),
            "line 1: field `status`: unknown variant `gone`, expected one of `pending`, `running`, `completed`, \
             `failed`, `skipped`, `cancelled`, `undone`, `undo_failed`",
        ),
        (
            wrong("step_update", "/level", json!("loud")),
            "line 1: field `level`: unknown variant `loud`, expected one of `debug`, `info`, `warning`, `error`, \
             `success`",
        ),
        (
            wrong("step_update", "/metadata", json!([])),
            "line 1: field `metadata`: invalid type: sequence, expected a map",
        ),
        (
            wrong("run_start", "/plan/steps", json!({})),
            "line 1: field `plan.steps`: invalid type: map, expected a sequence",
        ),
        (
            wrong("run_start", "/plan/steps/0/retry/attempts", json!(null)),
            "line 1: field `plan.steps[0].retry.attempts`: invalid type: null, expected u32",
        ),
        (
            wrong("run_start", "/labels", json!({ "who": 1 })),
            "line 1: field `labels.who`: invalid type: integer `1`, expected a string",
        ),
        (
            wrong("step_start", "/progress", json!({ "percentage": 1.0 })),
            "line 1: field `progress.step_number`: missing field `step_number`",
        ),
        (wrong("stdout", "/line", json!(null)), "line 1: field `line`: invalid type: null, expected a string"),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_line_that_is_no_json_object_says_what_stands_there() {
    let cases = [
        ("{\"v\":1,", "line 1: not JSON at column 7: EOF while parsing a value"),
        ("{\"v\":1,}", "line 1: not JSON at column 8: trailing comma"),
        ("{} {}", "line 1: not JSON at column 4: trailing characters"),
        ("\u{1}", "line 1: not JSON at column 1: expected value"),
        ("[]", "line 1: an event is a JSON object, found an array"),
        ("\"run_start\"", "line 1: an event is a JSON object, found a string"),
        ("null", "line 1: an event is a JSON object, found null"),
        ("7", "line 1: an event is a JSON object, found a number"),
        ("true", "line 1: an event is a JSON object, found a boolean"),
    ];
    for (text, expected) in cases {
        assert_eq!(Event::from_json(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn an_error_names_its_line_and_the_lines_after_it_can_be_read() {
    let good = sample("step_start");
    let text = format!("{good}\n\n   \nnonsense\r\n{good}\r\n{{\"v\":1}}\n{good}");
    let read: Vec<_> = EventLines::new(text.as_bytes())
        .map(|event| event.map(|event| event.event_type()).map_err(|error| error.to_string()))
        .collect();
    assert_eq!(
        read,
        [
            Ok(EventType::StepStart),
            Err("line 4: not JSON at column 2: expected ident".to_owned()),
            Ok(EventType::StepStart),
            Err("line 6: field `run`: missing field `run`".to_owned()),
            Ok(EventType::StepStart),
        ]
    );
}

#[test]
fn bytes_that_are_no_text_are_an_error_of_their_line() {
    let good = sample("step_start");
    let text = [good.as_bytes(), b"\n\xff\xfe\n", good.as_bytes()].concat();
    let read: Vec<_> = EventLines::new(&*text).collect();
    assert!(read[0].is_ok() && read[2].is_ok(), "{read:?}");
    let error = read[1].as_ref().unwrap_err();
    assert_eq!((error.line, read.len()), (2, 3));
    assert!(matches!(&error.kind, ReadErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData), "{error}");
}

#[test]
fn a_source_that_breaks_is_an_error_with_the_line_it_broke_in() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the pipe broke"))
        }
    }
    let text = sample("step_start") + "\n";
    let mut lines = EventLines::new(BufReader::new(text.as_bytes().chain(Broken)));
    lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap_err().to_string(), "line 2: cannot be read: the pipe broke");
}

#[test]
fn a_type_that_is_not_known_is_kept_as_it_is() {
    let text = sample("stalled").replace("\"stalled\"", "\"paused\"").replace("60000.0", "{\"by\":[\"anna\"]}");
    let event = Event::from_json(&text).unwrap();
    let Kind::Unknown(unknown) = &event.kind else { panic!("{event:?}") };
    assert_eq!(unknown.name, "paused");
    assert_eq!(unknown.fields["silent_ms"], json!({ "by": ["anna"] }));
    assert_eq!((event.event_type(), event.step()), (EventType::Unknown, None));
    assert_eq!(event.progress.as_ref().unwrap().completed, 1, "the header is read all the same");
    let (read, written): (Value, Value) = (serde_json::from_str(&text).unwrap(), serde_json::to_value(&event).unwrap());
    assert_eq!(read, written);
}

#[test]
fn an_event_of_an_unknown_type_counts_in_the_run_and_changes_nothing_else() {
    let text = sample("stalled").replace("\"stalled\"", "\"paused\"").replace("web-42", "r");
    let mut event = Event::from_json(&text).unwrap();
    let events = rich_run();
    let mut state = RunState::start(&events[0]).unwrap();
    event.run = events[0].run.clone();
    event.seq = 2;
    state.advance(&event).unwrap();
    assert_eq!((state.seq(), state.elapsed()), (2, event.elapsed));
    assert_eq!(state.steps(), RunState::start(&events[0]).unwrap().steps());
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    for (name, text) in samples() {
        let mut extended: Value = serde_json::from_str(&text).unwrap();
        extended["since_v9"] = json!([1, 2]);
        if let Some(progress) = extended.get_mut("progress") {
            progress["since_v9"] = json!("x");
        }
        assert_eq!(Event::from_json(&extended.to_string()).unwrap(), Event::from_json(&text).unwrap(), "{name}");
    }
}

#[test]
fn an_event_of_a_newer_version_is_refused_whatever_it_looks_like() {
    let text = "line 1: the event has format version 2, this crate reads up to 1; update step-machine to read it";
    assert_eq!(error("step_start", "/v", Some(json!(2))), text);
    // What a newer version may have changed is not what is wrong with the line.
    assert_eq!(Event::from_json(r#"{"v":2,"at":1767225600}"#).unwrap_err().to_string(), text);
    let read = Event::from_json(&sample("step_start")).unwrap();
    assert_eq!(read.v, step_machine::event::EVENT_VERSION);
}
