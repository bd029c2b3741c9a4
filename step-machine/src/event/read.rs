//! Reading events: one JSON object, or one a line.

use std::io::{self, BufRead};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{EVENT_VERSION, Event, Kind, Progress, Text};
use crate::run_id::RunId;

/// The fields that every event has, whatever its type.
#[derive(Deserialize)]
struct Header {
    v: u16,
    run: RunId,
    workflow: Text,
    seq: u64,
    #[serde(with = "crate::time::rfc3339")]
    at: std::time::SystemTime,
    #[serde(rename = "elapsed_ms", with = "crate::time::millis")]
    elapsed: std::time::Duration,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    progress: Option<Progress>,
}

/// The header as it mostly is: borrowed, and without what it may leave out.
#[derive(Deserialize)]
struct Quick<'a> {
    v: u16,
    #[serde(default)]
    run: Option<&'a str>,
    #[serde(default)]
    workflow: Option<&'a str>,
    seq: u64,
    #[serde(with = "crate::time::rfc3339")]
    at: std::time::SystemTime,
    #[serde(rename = "elapsed_ms", with = "crate::time::millis")]
    elapsed: std::time::Duration,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    progress: Option<Progress>,
}

const HEADER_FIELDS: [&str; 8] = ["v", "run", "workflow", "seq", "at", "elapsed_ms", "type", "progress"];

/// Why a text is not an event.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ReadError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub kind: ReadErrorKind,
}

/// What is wrong with a line that should be an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The line could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The text is not JSON.
    #[error("not JSON at column {column}: {message}")]
    Syntax {
        /// Where, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// The JSON is not an object.
    #[error("an event is a JSON object, found {found}")]
    NotAnObject {
        /// What stands there.
        found: &'static str,
    },
    /// A field is missing or holds something else than it should.
    #[error("field `{field}`: {message}")]
    Field {
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A newer version of this crate wrote the event.
    #[error(
        "the event has format version {found}, this crate reads up to {EVENT_VERSION}; update step-machine to read it"
    )]
    Version {
        /// The version of the event.
        found: u16,
    },
}

impl ReadErrorKind {
    fn at_line(self, line: usize) -> ReadError {
        ReadError { line, kind: self }
    }

    fn syntax(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // serde_json ends its text with the position, which has a field of its own here.
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        Self::Syntax { column: error.column(), message: message.to_owned() }
    }

    fn field(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let message = error.inner().to_string();
        let path = error.path().to_string();
        let field = match missing_field(&message) {
            Some(name) if path == "." => name.to_owned(),
            Some(name) => format!("{path}.{name}"),
            None => path,
        };
        Self::Field { field, message }
    }
}

/// A missing field is reported at its parent; the name stands in the text.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

impl Event {
    /// Reads one event from the text of a JSON object.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        Self::parse(text).map_err(|kind| kind.at_line(1))
    }

    /// Reads an event as this version writes it, straight from its text; `None` where that is not all there is to it,
    /// and reading it field by field says what. `run` and `workflow` are those of an event that leaves them out.
    pub(crate) fn quick(text: &str, run: Option<&RunId>, workflow: Option<&Text>) -> Option<Self> {
        let head: Quick<'_> = serde_json::from_str(text).ok()?;
        let kind = Kind::from_text(head.kind, text).filter(|_| head.v == EVENT_VERSION)?;
        Some(Self {
            v: head.v,
            run: head.run.map(RunId::from).or_else(|| run.cloned())?,
            workflow: head.workflow.map(|name| Text::Owned(name.to_owned())).or_else(|| workflow.cloned())?,
            seq: head.seq,
            at: head.at,
            elapsed: head.elapsed,
            kind,
            progress: head.progress,
        })
    }

    fn parse(text: &str) -> Result<Self, ReadErrorKind> {
        if let Some(event) = Self::quick(text, None, None) {
            return Ok(event);
        }
        let value: Value = serde_json::from_str(text).map_err(|error| ReadErrorKind::syntax(&error))?;
        Self::from_value(value)
    }

    fn from_value(value: Value) -> Result<Self, ReadErrorKind> {
        let mut fields = match value {
            Value::Object(fields) => fields,
            other => return Err(ReadErrorKind::NotAnObject { found: name_of(&other) }),
        };
        // The version first: a newer one may have another header.
        let version = fields.get("v").and_then(Value::as_u64).and_then(|v| u16::try_from(v).ok());
        if let Some(found) = version.filter(|&found| found > EVENT_VERSION) {
            return Err(ReadErrorKind::Version { found });
        }
        let header = HEADER_FIELDS.iter().filter_map(|&name| Some((name.to_owned(), fields.remove(name)?))).collect();
        let header: Header = read_fields(header)?;
        let kind = Kind::from_fields(header.kind, fields).map_err(|error| ReadErrorKind::field(&error))?;
        Ok(Self {
            v: header.v,
            run: header.run,
            workflow: header.workflow,
            seq: header.seq,
            at: header.at,
            elapsed: header.elapsed,
            kind,
            progress: header.progress,
        })
    }
}

fn read_fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, ReadErrorKind> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| ReadErrorKind::field(&error))
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The events of a JSON-lines text, one after the other; empty lines are passed over.
///
/// A line that cannot be read is an error with its number, and the lines after it can still be read.
///
/// # Examples
///
/// ```
/// use step_machine::event::EventLines;
///
/// let text = "{\"v\":1}\n\nnot json\n";
/// let errors: Vec<_> = EventLines::new(text.as_bytes())
///     .filter_map(Result::err)
///     .map(|error| error.to_string())
///     .collect();
/// assert_eq!(
///     errors,
///     [
///         "line 1: field `run`: missing field `run`",
///         "line 3: not JSON at column 2: expected ident",
///     ]
/// );
/// ```
#[derive(Debug)]
pub struct EventLines<R> {
    reader: R,
    line: usize,
    /// The reader failed, and would again.
    is_over: bool,
}

impl<R: BufRead> EventLines<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 0, is_over: false }
    }
}

impl<R: BufRead> Iterator for EventLines<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = String::new();
        while !self.is_over {
            text.clear();
            self.line += 1;
            match self.reader.read_line(&mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim().is_empty() => {}
                Ok(_) => {
                    return Some(Event::parse(text.trim_end()).map_err(|kind| kind.at_line(self.line)));
                }
                Err(error) => {
                    // After a line that is not text there may be others; after anything else there is nothing to read.
                    self.is_over = error.kind() != io::ErrorKind::InvalidData;
                    return Some(Err(ReadErrorKind::Io(error).at_line(self.line)));
                }
            }
        }
        None
    }
}
