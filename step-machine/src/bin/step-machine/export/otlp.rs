//! Runs as traces of OpenTelemetry, in the JSON form of its protocol: names in lower camel case, ids in hex, times and
//! whole numbers as text.

mod ids;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use step_machine::event::{ErrorRecord, Event, Kind, RunStatus};

use self::ids::{span_id, trace_id};
use super::super::store::Kept;

const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// One trace for each family: a run, and all that is nested in it.
pub(super) fn traces(families: &[Vec<Kept>]) -> Value {
    let spans: Vec<Value> = families.iter().flat_map(|family| trace(family)).collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "step-machine")] },
        "scopeSpans": [{ "scope": { "name": "step-machine", "version": version }, "spans": spans }],
    }] })
}

fn trace(family: &[Kept]) -> Vec<Value> {
    let Some(first) = family.first() else { return Vec::new() };
    let trace = trace_id(first.state.run());
    let attempts: Vec<Vec<Attempt>> = family.iter().map(attempts).collect();
    let mut spans = Vec::new();
    for (kept, own) in family.iter().zip(&attempts) {
        let run = kept.state.run().to_string();
        let parent = kept.state.parent().and_then(|parent| {
            let outer = family.iter().position(|kept| *kept.state.run() == parent.run)?;
            let mut of_step =
                attempts[outer].iter().filter(|attempt| !attempt.is_undo && attempt.step == parent.step.id());
            let begun = of_step.clone().rfind(|attempt| attempt.start <= kept.state.started_at());
            Some(begun.or(of_step.next_back())?.id(&parent.run.to_string()))
        });
        spans.push(run_span(&trace, kept, parent));
        spans.extend(own.iter().map(|attempt| attempt.span(&trace, &run)));
    }
    spans
}

fn run_span(trace: &str, kept: &Kept, parent: Option<String>) -> Value {
    let state = &kept.state;
    let end = kept.events.last().map_or(state.started_at(), |event| event.at);
    let mut attributes = vec![
        text("step_machine.run", state.run().to_string()),
        text("step_machine.workflow", state.workflow()),
        text("step_machine.status", state.status().as_str()),
        number("step_machine.warnings", state.warnings()),
    ];
    attributes.extend(state.labels().iter().map(|(key, value)| text(&format!("step_machine.label.{key}"), value)));
    let error = state.failure().map(|failure| &failure.error);
    attributes.extend(error.map(|error| text("error.type", &*error.kind)));
    let code = match state.status() {
        RunStatus::Running | RunStatus::RollingBack => None,
        RunStatus::Completed => Some(OK),
        _ => Some(ERROR),
    };
    let mut span = json!({
        "traceId": trace,
        "spanId": span_id(&[&state.run().to_string()]),
        "name": state.workflow(),
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(state.started_at()),
        "endTimeUnixNano": nanos(end),
        "attributes": attributes,
        "status": status(code, error.filter(|_| code == Some(ERROR))),
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = parent.into();
    }
    span
}

/// One attempt at a step, or at its undo.
struct Attempt<'a> {
    step: &'a str,
    is_undo: bool,
    number: u32,
    start: SystemTime,
    /// `None` while it goes on; where a process died, until the run went on.
    end: Option<SystemTime>,
    outcome: &'static str,
    error: Option<&'a ErrorRecord>,
    events: Vec<Value>,
}

impl<'a> Attempt<'a> {
    fn new(step: &'a str, is_undo: bool, number: u32, event: &Event) -> Self {
        Self { step, is_undo, number, start: event.at, end: None, outcome: "running", error: None, events: Vec::new() }
    }

    fn close(&mut self, at: SystemTime, outcome: &'static str, error: Option<&'a ErrorRecord>) {
        (self.end, self.outcome, self.error) = (Some(at), outcome, error);
        if let Some(error) = error {
            let attributes = [text("exception.type", &*error.kind), text("exception.message", error.message.as_str())];
            self.events.push(happened(at, "exception", &attributes));
        }
    }

    fn id(&self, run: &str) -> String {
        let what = if self.is_undo { "undo" } else { "do" };
        span_id(&[run, self.step, what, &self.number.to_string()])
    }

    fn span(&self, trace: &str, run: &str) -> Value {
        let mut attributes = vec![
            text("step_machine.run", run),
            text("step_machine.step", self.step),
            number("step_machine.attempt", self.number),
            text("step_machine.status", self.outcome),
        ];
        attributes.extend(self.error.map(|error| text("error.type", &*error.kind)));
        let code = match (self.error, self.outcome) {
            (Some(_), _) => Some(ERROR),
            (None, "completed" | "undone") => Some(OK),
            _ => None,
        };
        json!({
            "traceId": trace,
            "spanId": self.id(run),
            "parentSpanId": span_id(&[run]),
            "name": if self.is_undo { format!("undo {}", self.step) } else { self.step.to_owned() },
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end.unwrap_or(self.start)),
            "attributes": attributes,
            "events": self.events,
            "status": status(code, self.error),
        })
    }
}

fn attempts(kept: &Kept) -> Vec<Attempt<'_>> {
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut last = kept.state.started_at();
    for event in &kept.events {
        follow(&mut attempts, event, last);
        last = event.at;
    }
    for open in attempts.iter_mut().filter(|attempt| attempt.end.is_none()) {
        open.end = Some(last.max(open.start));
    }
    attempts
}

fn follow<'a>(attempts: &mut Vec<Attempt<'a>>, event: &'a Event, last: SystemTime) {
    let step = event.step().unwrap_or_default();
    match &event.kind {
        Kind::StepStart(start) => attempts.push(Attempt::new(step, false, start.attempt, event)),
        Kind::UndoStart(start) => attempts.push(Attempt::new(step, true, start.attempt, event)),
        // What it went on from was left at the last event before.
        Kind::RunResume(_) => {
            for open in attempts.iter_mut().filter(|attempt| attempt.end.is_none()) {
                open.close(last, "interrupted", None);
            }
        }
        kind => {
            let Some(open) = attempts.iter_mut().rfind(|attempt| attempt.step == step && attempt.end.is_none()) else {
                return;
            };
            match kind {
                Kind::StepRetry(retry) => open.close(event.at, "failed", Some(&retry.error)),
                Kind::StepEnd(end) => open.close(event.at, end.status.as_str(), end.error.as_deref()),
                Kind::UndoEnd(end) => open.close(event.at, end.status.as_str(), end.error.as_ref()),
                Kind::StepUpdate(update) => {
                    if let Some(message) = &update.message {
                        let level = update.level.map(|level| text("level", level.as_str()));
                        let attributes: Vec<Value> =
                            std::iter::once(text("message", &**message)).chain(level).collect();
                        open.events.push(happened(event.at, "message", &attributes));
                    }
                }
                _ => {}
            }
        }
    }
}

fn happened(at: SystemTime, name: &str, attributes: &[Value]) -> Value {
    json!({ "timeUnixNano": nanos(at), "name": name, "attributes": attributes })
}

fn status(code: Option<u8>, error: Option<&ErrorRecord>) -> Value {
    match (code, error) {
        (None, _) => json!({}),
        (Some(code), Some(error)) => json!({ "code": code, "message": error.message }),
        (Some(code), None) => json!({ "code": code }),
    }
}

fn text(key: &str, value: impl Into<String>) -> Value {
    json!({ "key": key, "value": { "stringValue": value.into() } })
}

fn number(key: &str, value: impl ToString) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
