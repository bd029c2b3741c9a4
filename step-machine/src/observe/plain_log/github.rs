//! What the log of GitHub Actions makes more of than a line.

use std::fmt::Write as _;

use crate::event::{ErrorRecord, Event, Kind, Level, StepStatus};
use crate::observe::text::{TextLine, one_line};
use crate::run_id::RunId;

/// Whether this process runs there.
pub(super) fn is_there() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// The group that is open: there is one at a time.
#[derive(Debug, Default)]
pub(super) struct Groups {
    open: Option<(RunId, String)>,
    /// The steps that run and have had one.
    begun: Vec<(RunId, String)>,
}

impl Groups {
    /// What to write for a line.
    pub(super) fn line(&mut self, line: &TextLine, event: Option<&Event>, time: &str, text: &str) -> String {
        if let Some((event, step)) = output_of(event) {
            let place = (event.run.clone(), step.to_owned());
            let begin = self.enter(place, line);
            return format!("{begin}{time}{}\n", harmless(text));
        }
        let end = self.close().unwrap_or_default();
        if let Some(Event { run, kind: Kind::StepEnd(end), .. }) = event {
            self.begun.retain(|(of, step)| of != run || end.step != **step);
        }
        match line.level() {
            Level::Error => format!("{end}::error::{}\n", escaped(&told(line, event))),
            Level::Warning => format!("{end}::warning::{}\n", escaped(&told(line, event))),
            _ => format!("{end}{time}{}\n", harmless(text)),
        }
    }

    /// Opens the group of a step, unless it is.
    fn enter(&mut self, place: (RunId, String), line: &TextLine) -> String {
        if self.open.as_ref() == Some(&place) {
            return String::new();
        }
        let end = self.close().unwrap_or_default();
        let title = line.origin();
        let again = if self.begun.contains(&place) {
            " (goes on)"
        } else {
            self.begun.push(place.clone());
            ""
        };
        self.open = Some(place);
        format!("{end}::group::{}{again}\n", escaped(&title))
    }

    /// Closes the group that is open.
    pub(super) fn close(&mut self) -> Option<String> {
        self.open.take().map(|_| "::endgroup::\n".to_owned())
    }
}

fn output_of(event: Option<&Event>) -> Option<(&Event, &str)> {
    let event = event?;
    matches!(event.kind, Kind::Stdout(_) | Kind::Stderr(_)).then_some(())?;
    Some((event, event.step()?))
}

/// A line, and where a step failed what its error says beyond the first line.
fn told(line: &TextLine, event: Option<&Event>) -> String {
    let mut text = line.alone();
    if let Some(Kind::StepEnd(end)) = event.map(|event| &event.kind)
        && let (StepStatus::Failed, Some(error)) = (end.status, &end.error)
        && error.nested.is_none()
    {
        for more in beyond_first_line(error) {
            let _ = write!(text, "\n{}", one_line(more));
        }
    }
    text
}

fn beyond_first_line(error: &ErrorRecord) -> impl Iterator<Item = &str> {
    let chain = error.chain.iter().flat_map(|text| text.lines());
    error.message.lines().skip(1).chain(chain)
}

/// The data of a command: what would end it, or be read as an escape, is escaped.
fn escaped(data: &str) -> String {
    data.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A line that is not taken for a command.
fn harmless(line: &str) -> String {
    let line = line.replace("##[", "## [");
    if line.trim_start().starts_with("::") { line.replacen("::", ": :", 1) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_escaped_and_no_line_is_taken_for_a_command() {
        assert_eq!(escaped("100 %\r\nof it%0A"), "100 %25%0D%0Aof it%250A");
        assert_eq!(harmless("  ::error::x ##[group]y"), "  : :error::x ## [group]y");
        assert_eq!(harmless("a::b"), "a::b");
    }
}
