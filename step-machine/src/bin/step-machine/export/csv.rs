//! The steps of runs as rows, as RFC 4180 has them.

use std::borrow::Cow;
use std::io::{self, Write};

use super::super::store::Kept;
use super::super::text::millis;

const COLUMNS: [&str; 12] = [
    "run",
    "workflow",
    "run_status",
    "number",
    "step",
    "name",
    "status",
    "attempts",
    "started_at",
    "duration_ms",
    "error_kind",
    "error_message",
];

pub(super) fn head(out: &mut dyn Write) -> io::Result<()> {
    row(&COLUMNS.map(str::to_owned), out)
}

pub(super) fn rows(kept: &Kept, out: &mut dyn Write) -> io::Result<()> {
    let state = &kept.state;
    for (number, (step, info)) in (1..).zip(state.steps().iter().zip(&state.plan().steps)) {
        let error = step.error();
        let fields: [String; COLUMNS.len()] = [
            state.run().to_string(),
            state.workflow().to_owned(),
            state.status().to_string(),
            number.to_string(),
            info.id.clone(),
            info.name.clone(),
            step.status().to_string(),
            step.attempts().to_string(),
            step.started()
                .map(|started| humantime::format_rfc3339_micros(state.started_at() + started).to_string())
                .unwrap_or_default(),
            step.duration().map(|duration| millis(duration).to_string()).unwrap_or_default(),
            error.map(|error| error.kind.to_string()).unwrap_or_default(),
            error.map(|error| error.message.clone()).unwrap_or_default(),
        ];
        row(&fields, out)?;
    }
    Ok(())
}

fn row(fields: &[String], out: &mut dyn Write) -> io::Result<()> {
    let fields: Vec<Cow<'_, str>> = fields.iter().map(|field| quoted(field)).collect();
    write!(out, "{}\r\n", fields.join(","))
}

fn quoted(field: &str) -> Cow<'_, str> {
    // A space at an end would be lost to some readers.
    let is_plain = !field.contains([',', '"', '\r', '\n']) && field.trim() == field;
    if is_plain { Cow::Borrowed(field) } else { Cow::Owned(format!("\"{}\"", field.replace('"', "\"\""))) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_a_reader_would_take_for_more_is_quoted() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("he said \"no\"\nand left"), "\"he said \"\"no\"\"\nand left\"");
        assert_eq!(quoted(" x"), "\" x\"");
        assert_eq!(quoted(""), "");
    }
}
