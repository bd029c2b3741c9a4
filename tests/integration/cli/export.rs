//! `step-machine export`.

use std::collections::HashSet;

use serde_json::Value;
use step_machine::Journal;
use step_machine::event::EventLines;

use super::{Course, Desk, Screen, new_year};
use crate::flows::publisher::Publisher;

fn desk() -> Desk {
    let desk = Desk::new();
    Course { retries: 2, start_fails: true, is_undone: true, fetch: 1 }.run("web-1", desk.journal(), &new_year());
    desk
}

#[test]
fn the_events_can_be_read_back() {
    let desk = desk();
    let text = desk.says(&["export", "web-1", "--format", "json"]);
    let events: Vec<_> = EventLines::new(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert_eq!(events, desk.journal().load(&"web-1".into()).wait().unwrap());
}

#[test]
fn the_steps_are_rows_that_a_spreadsheet_reads() {
    let text = desk().says(&["export", "web-1", "--format", "csv"]);
    assert_eq!(
        text,
        "run,workflow,run_status,number,step,name,status,attempts,started_at,duration_ms,error_kind,error_message\r\n\
         web-1,release,rolled_back,1,fetch,Fetch,completed,3,2026-01-01T00:00:00.000000Z,9000,,\r\n\
         web-1,release,rolled_back,2,start,Start,undone,1,2026-01-01T00:00:09.000000Z,5000,port-taken,\
         \"port 80 is taken, \"\"again\"\"\nby nginx\"\r\n\
         web-1,release,rolled_back,3,announce,Announce,pending,0,,,,\r\n"
    );
}

/// The spans, each held against the JSON mapping of the protocol.
fn spans(traces: &Value) -> Vec<Value> {
    let resource = &traces["resourceSpans"][0];
    assert_eq!(attribute(&resource["resource"], "service.name"), Some("step-machine".into()));
    let scope = &resource["scopeSpans"][0];
    assert_eq!(scope["scope"]["name"], "step-machine");
    let spans = scope["spans"].as_array().unwrap().clone();
    let is_hex = |value: &Value, digits: usize| {
        let text = value.as_str().unwrap();
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let ids: HashSet<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len(), "an id stands for one span");
    for span in &spans {
        let known = [
            "traceId",
            "spanId",
            "parentSpanId",
            "name",
            "kind",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "attributes",
            "events",
            "status",
        ];
        for key in span.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{key} is no field of a span that is written here");
        }
        assert!(is_hex(&span["traceId"], 32) && is_hex(&span["spanId"], 16), "{span}");
        if let Some(parent) = span.get("parentSpanId") {
            assert!(is_hex(parent, 16) && ids.contains(parent.as_str().unwrap()), "{span}");
        }
        let nanos = |key: &str| span[key].as_str().expect("a time is text").parse::<u64>().unwrap();
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{span}");
        assert_eq!(span["kind"], 1);
        for event in span.get("events").and_then(Value::as_array).into_iter().flatten() {
            assert!(event["timeUnixNano"].is_string() && event["name"].is_string(), "{event}");
        }
        for attribute in span["attributes"].as_array().unwrap() {
            let value = attribute["value"].as_object().unwrap();
            assert!(attribute["key"].is_string() && value.len() == 1, "{attribute}");
            let (kind, value) = value.iter().next().unwrap();
            assert!(matches!(kind.as_str(), "stringValue" | "intValue") && value.is_string(), "{attribute}");
        }
    }
    spans
}

fn attribute(of: &Value, key: &str) -> Option<Value> {
    let found = of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next().cloned()
}

#[test]
fn a_run_is_a_trace_with_a_span_for_each_attempt() {
    let desk = desk();
    let traces = desk.lines(&["export", "web-1", "--format", "otlp-json"]).pop().unwrap();
    let spans = spans(&traces);
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let status = attribute(span, "step_machine.status").unwrap();
            format!("{} {} {}", span["name"].as_str().unwrap(), status.as_str().unwrap(), span["status"]["code"])
        })
        .collect();
    assert_eq!(
        told,
        [
            "release rolled_back 2",
            "fetch failed 2",
            "fetch failed 2",
            "fetch completed 1",
            "start failed 2",
            "undo start undone 1",
        ]
    );
    let root = &spans[0];
    assert_eq!(root.get("parentSpanId"), None);
    assert!(spans[1..].iter().all(|span| span["parentSpanId"] == root["spanId"]), "{spans:?}");
    assert_eq!(spans[1]["startTimeUnixNano"], "1767225600000000000");
    assert_eq!(attribute(&spans[3], "step_machine.attempt"), Some("3".into()));
    assert_eq!(attribute(&spans[4], "error.type"), Some("port-taken".into()));
    let events: Vec<_> = spans[4]["events"].as_array().unwrap().iter().map(|event| &event["name"]).collect();
    assert_eq!(events, ["message", "exception"]);
    let again = desk.lines(&["export", "web-1", "--format", "otlp-json"]).pop().unwrap();
    assert_eq!(traces, again, "the same ids each time");
}

#[test]
fn a_nested_run_is_in_the_trace_of_the_outer_one_below_its_step() {
    let publisher = Publisher::new();
    let screen = publisher.publish(&["nodejs", "--id", "shop-1"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let journal = publisher.user.path("runs.db").display().to_string();
    let screen = Screen::of(super::command(&journal, &["export", "shop-1", "--format", "otlp-json"]));
    let spans = spans(&serde_json::from_str(&screen.stdout).unwrap());
    let traces: HashSet<_> = spans.iter().map(|span| span["traceId"].as_str().unwrap()).collect();
    assert_eq!(traces.len(), 1);
    let roots = spans.iter().filter(|span| span.get("parentSpanId").is_none());
    assert_eq!(roots.map(|span| &span["name"]).collect::<Vec<_>>(), ["nodejs"]);
    let inner = spans.iter().find(|span| attribute(span, "step_machine.workflow") == Some("docker".into()));
    let parent = &inner.expect("the nested run")["parentSpanId"];
    let step = spans.iter().find(|span| span["spanId"] == *parent).unwrap();
    assert_eq!(attribute(step, "step_machine.run"), Some("shop-1".into()));
}
