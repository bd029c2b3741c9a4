//! Why a command did not do what it is for.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use crate::event::Effect;
use crate::failure::StepError;

/// How much of its standard error a failed command's error repeats: the end, where the reason stands.
const SHOWN_LINES: usize = 20;
const SHOWN_BYTES: usize = 4 * 1024;

/// Why a command did not do what it is for.
///
/// Its kind is `command-execution`. It names the program and never its arguments, which may hold secrets. Its first line
/// stands for itself; where the command wrote several lines to its standard error, the last ones follow.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be run at all. Fatal where there is no such program.
    NotStarted {
        /// The program.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It ran and failed. Where a signal ended it, its effect is not known.
    Failed {
        /// The program.
        program: String,
        /// Its exit code or signal.
        status: ExitStatus,
        /// The last lines of its standard error: at most 20, and at most 4 KiB.
        stderr: String,
    },
    /// It ran, but could not be followed, and was killed. Its effect is not known.
    Io {
        /// The program.
        program: String,
        /// The operating system's reason.
        source: io::Error,
    },
}

#[diagnostic::do_not_recommend]
impl StepError for CommandError {
    fn kind(&self) -> &'static str {
        "command-execution"
    }

    fn is_fatal(&self) -> bool {
        matches!(self, Self::NotStarted { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn effect(&self) -> Effect {
        match self {
            // It had no say in its end, unlike one that gives a code.
            Self::Failed { status, .. } if status.code().is_none() => Effect::Unknown,
            Self::NotStarted { .. } | Self::Failed { .. } => Effect::Known,
            Self::Io { .. } => Effect::Unknown,
        }
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted { source, .. } | Self::Io { source, .. } => Some(source),
            Self::Failed { .. } => None,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, .. } => write!(f, "`{program}` could not be started"),
            Self::Io { program, .. } => write!(f, "`{program}` could not be followed to its end and was killed"),
            Self::Failed { program, status, stderr } => {
                match status.code() {
                    Some(code) => write!(f, "`{program}` ended with exit code {code}")?,
                    None => write!(f, "`{program}` was ended by {status}")?,
                }
                match stderr.lines().count() {
                    0 => Ok(()),
                    1 => write!(f, ": {stderr}"),
                    _ => write!(f, ":\n{stderr}"),
                }
            }
        }
    }
}

/// The last lines of a text that an error shows, without empty ones around them.
pub(super) fn last_lines(text: &str) -> String {
    let (mut lines, mut room) = (Vec::new(), SHOWN_BYTES);
    let ends = text.split(['\n', '\r']).rev().map(str::trim_end).skip_while(|line| line.is_empty());
    for line in ends.take(SHOWN_LINES) {
        if line.len() > room {
            // The last line is worth a part of it.
            if lines.is_empty() {
                let whole = (0..=room).rev().find(|&at| line.is_char_boundary(at));
                lines.push(&line[..whole.unwrap_or_default()]);
            }
            break;
        }
        room = room.saturating_sub(line.len() + 1);
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n").trim_start_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_last_lines_without_empty_ones_around_them() {
        assert_eq!(last_lines(""), "");
        assert_eq!(last_lines("\n \r\n"), "");
        assert_eq!(last_lines("\n  one\n\ntwo \n\n"), "  one\n\ntwo");
        let many: Vec<_> = (1..=30).map(|number| number.to_string()).collect();
        assert_eq!(last_lines(&many.join("\n")), many[10..].join("\n"));
    }

    #[test]
    fn an_error_shows_no_more_than_its_room_holds() {
        let line = "x".repeat(1000);
        let shown = last_lines(&format!("{line}\n").repeat(9));
        assert_eq!((shown.lines().count(), shown.len()), (4, 4003));
        let wide = "ä".repeat(4000);
        assert_eq!(last_lines(&format!("x{wide}")), format!("x{}", "ä".repeat(2047)));
    }
}
