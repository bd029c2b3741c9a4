//! Events as JSON text, as their `Serialize` has it. What all of them have, and the two that each step has, are put
//! down here field by field, since a journal and a log write them all the time, and serde would look at every letter of
//! every name.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::{Error, to_writer};

use super::{Event, Kind, Progress, StepEnd, StepStart};
use crate::time::{millis, nanos};

impl Event {
    /// Adds it to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write_lean(out, true, true)
    }

    /// Adds it to `out`; without its run and its workflow where the reader knows them.
    pub(crate) fn write_lean(&self, out: &mut Vec<u8>, has_run: bool, has_workflow: bool) -> Result<(), Error> {
        field(out, "{\"v\":", &self.v)?;
        if has_run {
            field(out, ",\"run\":", &self.run)?;
        }
        if has_workflow {
            text(out, ",\"workflow\":", &self.workflow)?;
        }
        field(out, ",\"seq\":", &self.seq)?;
        write!(out, ",\"at\":\"{}\"", humantime::format_rfc3339_micros(self.at)).map_err(Error::custom)?;
        span(out, ",\"elapsed_ms\":", self.elapsed)?;
        self.write_kind(out)?;
        if let Some(progress) = &self.progress {
            progress.write(out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// The fields of the kind, which as JSON is an object of its own.
    fn write_kind(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        match &self.kind {
            Kind::StepStart(start) => start.write(out),
            Kind::StepEnd(end) => end.write(out),
            kind => {
                let start = out.len();
                to_writer(&mut *out, kind)?;
                if let Some(brace) = out.get_mut(start) {
                    *brace = b',';
                }
                out.pop();
                Ok(())
            }
        }
    }
}

impl StepStart {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { step, attempt, interrupted } = self;
        text(out, ",\"type\":\"step_start\",\"step\":", step.id())?;
        field(out, ",\"attempt\":", attempt)?;
        if *interrupted {
            put(out, ",\"interrupted\":true");
        }
        Ok(())
    }
}

impl StepEnd {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { step, status, reason, message, attempt, duration, attempt_duration, error, output, secret, sealed } =
            self;
        text(out, ",\"type\":\"step_end\",\"step\":", step.id())?;
        text(out, ",\"status\":", status.as_str())?;
        if let Some(reason) = reason {
            text(out, ",\"reason\":", reason.as_str())?;
        }
        if let Some(message) = message {
            text(out, ",\"message\":", message)?;
        }
        field(out, ",\"attempt\":", attempt)?;
        span(out, ",\"duration_ms\":", *duration)?;
        span(out, ",\"attempt_ms\":", *attempt_duration)?;
        if let Some(error) = error {
            field(out, ",\"error\":", error)?;
        }
        if let Some(output) = output {
            field(out, ",\"output\":", output)?;
        }
        if *secret {
            put(out, ",\"secret\":true");
        }
        if let Some(sealed) = sealed {
            text(out, ",\"sealed\":", sealed)?;
        }
        Ok(())
    }
}

impl Progress {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        percentage(out, ",\"progress\":{\"percentage\":", self.percentage)?;
        field(out, ",\"step_number\":", &self.step_number)?;
        field(out, ",\"total_steps\":", &self.total_steps)?;
        field(out, ",\"completed\":", &self.completed)?;
        if let Some(current) = &self.current {
            text(out, ",\"current\":", current.id())?;
        }
        if let Some(eta) = self.eta {
            span(out, ",\"eta_ms\":", eta)?;
        }
        out.push(b'}');
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &'static str, value: &T) -> Result<(), Error> {
    put(out, name);
    to_writer(out, value)
}

/// A name mostly, in which nothing is to be escaped.
fn text(out: &mut Vec<u8>, name: &'static str, value: &str) -> Result<(), Error> {
    if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return field(out, name, value);
    }
    put(out, name);
    out.push(b'"');
    put(out, value);
    out.push(b'"');
    Ok(())
}

/// A number from 0 to 100, mostly a whole one: to write a fraction takes longer than most fields do.
fn percentage(out: &mut Vec<u8>, name: &'static str, value: f64) -> Result<(), Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is lost is seen after")]
    let whole = value as u8;
    if f64::from(whole).to_bits() != value.to_bits() {
        return field(out, name, &value);
    }
    field(out, name, &whole)?;
    put(out, ".0");
    Ok(())
}

/// Milliseconds with a fraction, as [`millis`] has them: the digits of the nanoseconds, where they are few enough for a
/// float to give each of them back, and not so few that it would be written with an exponent.
fn span(out: &mut Vec<u8>, name: &'static str, value: Duration) -> Result<(), Error> {
    let nanos = nanos(value);
    if !(10..1_000_000_000_000_000).contains(&nanos) {
        return field(out, name, &millis::to_f64(value));
    }
    field(out, name, &(nanos / 1_000_000))?;
    let mut digits = *b".000000";
    let mut rest = nanos % 1_000_000;
    for digit in digits[1..].iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    let last = digits.iter().rposition(|digit| *digit > b'0').unwrap_or(1);
    out.extend_from_slice(&digits[..=last]);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

    use std::time::SystemTime;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::event::{Reason, StepRef, StepStatus};

    fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The events of a step with all that they may have, which is more than one of them has at once.
    #[test]
    fn the_events_of_a_step_are_written_as_serde_has_them() {
        let step = StepRef::new("say \"hi\"");
        let error = r#"{"kind":"network","message":"refused\n","chain":["\u0001"],"effect":"unknown"}"#;
        let end = StepEnd {
            step: step.clone(),
            status: StepStatus::Skipped,
            reason: Some(Reason::Requested),
            message: Some("a\\b".into()),
            attempt: 3,
            duration: Duration::from_micros(1_500),
            attempt_duration: Duration::from_nanos(1),
            error: serde_json::from_str(error).unwrap(),
            output: Some(Box::new(Value::Null)),
            secret: true,
            sealed: Some("c2VhbGVk".into()),
        };
        let bare = StepEnd {
            reason: None,
            message: None,
            error: None,
            output: None,
            secret: false,
            sealed: None,
            ..end.clone()
        };
        let start = |interrupted| Kind::StepStart(StepStart { step: step.clone(), attempt: 1, interrupted });
        for kind in [start(false), start(true), Kind::StepEnd(end), Kind::StepEnd(bare)] {
            let event = Event {
                v: 1,
                run: "r".into(),
                workflow: "w".into(),
                seq: 9,
                at: SystemTime::UNIX_EPOCH,
                elapsed: Duration::ZERO,
                kind,
                progress: None,
            };
            assert_eq!(written(|out| event.write(out)), serde_json::to_string(&event).unwrap());
        }
    }

    #[test]
    fn words_are_written_as_serde_has_them() {
        use StepStatus::{Cancelled, Completed, Failed, Pending, Running, Skipped, UndoFailed, Undone};
        for status in [Pending, Running, Completed, Failed, Skipped, Cancelled, Undone, UndoFailed] {
            assert_eq!(Value::from(status.as_str()), serde_json::to_value(status).unwrap());
        }
        for reason in [Reason::Failed, Reason::Requested, Reason::Panicked, Reason::Dropped, Reason::Forked] {
            assert_eq!(Value::from(reason.as_str()), serde_json::to_value(reason).unwrap());
        }
    }

    fn check_span(nanos: u64) {
        let value = Duration::from_nanos(nanos);
        let expected = serde_json::to_string(&millis::to_f64(value)).unwrap();
        assert_eq!(written(|out| span(out, "", value)), expected, "{nanos} ns");
    }

    #[test]
    fn a_span_is_written_as_its_float() {
        (0..=1_001).for_each(check_span);
        for power in 0..20 {
            let round = 10_u64.pow(power);
            [round - 1, round, round + 1, round.saturating_mul(5)].into_iter().for_each(check_span);
        }
        check_span(u64::MAX);
    }

    proptest! {
        #[test]
        fn any_span_is_written_as_its_float(nanos: u64, shift in 0..64) {
            check_span(nanos >> shift);
        }

        #[test]
        fn a_percentage_is_written_as_its_float(value in prop_oneof![
            prop::num::f64::ANY.prop_filter("JSON has none", |value| value.is_finite()),
            (0..=300_u16).prop_map(f64::from),
            0.0..=100.0,
        ]) {
            let expected = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(written(|out| percentage(out, "", value)), expected);
        }

        #[test]
        fn text_is_written_as_json(value: String) {
            let expected = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(written(|out| text(out, "", &value)), expected);
        }
    }
}
