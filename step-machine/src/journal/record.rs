//! What was appended at once, as one row: JSON that anybody can read, and a checksum.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::JournalError;
use super::error::damaged;
use crate::event::{EVENT_VERSION, Event, ReadErrorKind, Text};
use crate::run_id::RunId;

/// The events as a JSON array. Each has the workflow of the one before it, and the run of the row, unless it says
/// otherwise; so two such arrays of one run can be put together.
pub(super) fn encode(run: &RunId, events: &[Event]) -> Result<String, serde_json::Error> {
    let mut body = Vec::with_capacity(384 * events.len() + 2);
    let mut workflow = None;
    body.push(b'[');
    for event in events {
        if body.len() > 1 {
            body.push(b',');
        }
        let has_workflow = workflow != Some(event.workflow.as_ref());
        event.write_lean(&mut body, event.run != *run, has_workflow)?;
        workflow = Some(event.workflow.as_ref());
    }
    body.push(b']');
    String::from_utf8(body).map_err(serde::ser::Error::custom)
}

/// Puts the array `more` behind the array `body`.
pub(super) fn join(body: &mut String, more: &str) {
    body.pop();
    body.push(',');
    body.push_str(more.get(1..).unwrap_or_default());
}

/// A row as it stands in the table.
pub(super) struct Row<'a> {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) epoch: u64,
    pub(super) at_us: i64,
    pub(super) percentage: f64,
    pub(super) phase: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

impl Row<'_> {
    /// Of all that the row says of the run, and of whose row it is.
    pub(super) fn checksum(&self, run: &str) -> u32 {
        let phase = self.phase.unwrap_or_default();
        // None is another one than that of no letters; and it is seen where the phase ends and the body begins.
        let phase_end = self.phase.map_or(0, |phase| phase.len() as u64 + 1);
        // SQLite keeps no negative zero.
        let percentage = (self.percentage + 0.0).to_bits();
        let numbers = [self.first_seq, self.last_seq, self.epoch, self.at_us.cast_unsigned(), percentage, phase_end];
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(run.as_bytes());
        // At once: what is shorter than 64 bytes is hashed by tables.
        hasher.update(numbers.map(u64::to_le_bytes).as_flattened());
        hasher.update(phase);
        hasher.update(self.body);
        hasher.finalize()
    }

    /// Whether it is as it was written.
    pub(super) fn is_sound(&self, run: &str, checksum: i64) -> bool {
        i64::from(self.checksum(run)) == checksum
    }

    /// Reads the events behind those that are there; fails where it is not what was written, or does not follow them.
    pub(super) fn decode(&self, run: &RunId, checksum: i64, events: &mut Vec<Event>) -> Result<(), JournalError> {
        let (first, last) = (self.first_seq, self.last_seq);
        let follows = events.last().map_or(0, |event| event.seq) + 1;
        if first != follows {
            return Err(damaged(run, format!("event {follows} is missing, event {first} comes next")));
        }
        if !self.is_sound(&run.to_string(), checksum) {
            return Err(damaged(run, format!("events {first} to {last} are not as they were written")));
        }
        let unreadable = |error: &dyn std::fmt::Display| damaged(run, format!("events {first} to {last}: {error}"));
        let texts: Vec<&RawValue> = serde_json::from_slice(self.body).map_err(|error| unreadable(&error))?;
        let mut workflow: Option<Text> = None;
        for text in texts {
            let next = events.last().map_or(0, |event| event.seq) + 1;
            let event = match Event::quick(text.get(), Some(run), workflow.as_ref()) {
                Some(event) => event,
                None => event(run, text, workflow.as_ref(), next)?,
            };
            workflow = Some(event.workflow.clone());
            if event.seq != next {
                return Err(damaged(run, format!("event {} stands where event {next} should", event.seq)));
            }
            events.push(event);
        }
        match events.last() {
            Some(event) if event.seq == last => Ok(()),
            _ => Err(damaged(run, format!("event {last} is missing"))),
        }
    }
}

/// Reads an event field by field.
fn event(run: &RunId, text: &RawValue, workflow: Option<&Text>, next: u64) -> Result<Event, JournalError> {
    let damaged = |error: serde_json::Error| damaged(run, format!("event {next}: {error}"));
    let mut fields: Map<String, Value> = serde_json::from_str(text.get()).map_err(damaged)?;
    let version = fields.get("v").and_then(Value::as_u64).and_then(|v| u16::try_from(v).ok());
    if let Some(found) = version.filter(|&found| found > EVENT_VERSION) {
        return Err(JournalError::Read { run: run.clone(), source: Box::new(ReadErrorKind::Version { found }) });
    }
    fields.entry("run").or_insert_with(|| Value::from(run.to_string()));
    if let Some(workflow) = workflow {
        fields.entry("workflow").or_insert_with(|| Value::from(workflow.as_ref()));
    }
    Event::deserialize(Value::Object(fields)).map_err(damaged)
}

/// What finds a run by its id where the index of ids is damaged.
#[cfg(feature = "sqlite")]
pub(super) fn id_check(run: &RunId) -> u32 {
    crc32fast::hash(run.to_string().as_bytes())
}

/// Microseconds since 1970, the precision of an event.
pub(super) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn from_micros(micros: i64) -> SystemTime {
    // Later than any event, and still a time on each system.
    const LATEST: u64 = 400_000_000_000_000_000;
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0).min(LATEST))
}
