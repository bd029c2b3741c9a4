//! Times, spans and texts as people read them.

use std::time::{Duration, SystemTime};

use step_machine::observe;

/// A text on one line, without what a terminal would obey and with single blanks.
pub(crate) fn one_line(text: &str) -> String {
    observe::one_line(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `0.012 s`, `2m 3s`.
pub(crate) fn span(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        format!("{:.3} s", span.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
    }
}

/// How long ago, in one unit: `42s`, `5m`, `3h`, `12d`.
pub(crate) fn ago(time: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// To the second, in UTC.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Milliseconds with a fraction, as events have them.
pub(crate) fn millis(span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact to the nanosecond below 104 days")]
    let nanos = span.as_nanos() as f64;
    nanos / 1e6
}

/// One thing, or several.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(one_line("\u{1b}[31mred\u{1b}[0m\tand\r\n  more "), "red and more");
    }

    #[test]
    fn spans_are_in_units_that_fit() {
        assert_eq!(span(Duration::from_millis(12)), "0.012 s");
        assert_eq!(span(Duration::from_millis(123_400)), "2m 3s");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let told: Vec<_> =
            [0, 119, 120, 7_199, 7_200, 172_800].map(|seconds| ago(now - Duration::from_secs(seconds), now)).into();
        assert_eq!(told, ["0s", "119s", "2m", "119m", "2h", "2d"]);
        assert_eq!(ago(now + Duration::from_secs(5), now), "0s", "clocks differ");
    }
}
