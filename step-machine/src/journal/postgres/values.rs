//! What a value becomes in PostgreSQL.

use std::borrow::Cow;

use serde_json::Value;

use super::error::Fault;
use crate::journal::error::write;
use crate::run_id::RunId;

/// PostgreSQL knows no other ones.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that was written by [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A text cannot have the character of number 0.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

pub(super) fn cleaned_text(text: String) -> String {
    if text.contains('\0') { clean(&text).into_owned() } else { text }
}

/// Nor can a `jsonb`.
pub(super) fn json(value: Value) -> String {
    let text = value.to_string();
    if text.contains("\\u0000") { cleaned(value).to_string() } else { text }
}

fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => clean(&text).into(),
        Value::Array(values) => values.into_iter().map(cleaned).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (clean(&key).into_owned(), cleaned(value))).collect()
        }
        other => other,
    }
}

/// An id or a name has to be itself, so one that cannot be is refused.
pub(super) fn exact(run: &RunId, text: &str) -> Result<(), Fault> {
    if text.contains('\0') {
        let what = format!("{text:?} has the character of number 0, which PostgreSQL cannot keep");
        return Err(Fault::Alone(write(run, what)));
    }
    Ok(())
}
