//! What is drawn on a terminal: lines that stay, and below them lines that are drawn anew.

use std::fmt;
use std::fmt::Write as _;
use std::io::Write;

/// Everything below the cursor, and the rest of its line.
const CLEAR: &str = "\u{1b}[J";
/// The rest of the line.
const CLEAR_LINE: &str = "\u{1b}[K";
/// Without and with lines that are too long going on on the next one: a live line must stay one, however narrow the
/// terminal has become since it was asked.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// Terminals that know these show all that comes between them at once; others pass over them.
const TOGETHER: &str = "\u{1b}[?2026h";
const SHOW: &str = "\u{1b}[?2026l";

/// A terminal. Between two drawings its cursor stands at the start of the first live line, so that all of them can be
/// erased however a resize has moved them, and what others write does not mix with them.
///
/// Once the writer fails, nothing more is written.
pub(super) struct Canvas {
    writer: Option<Box<dyn Write + Send>>,
    live: Vec<String>,
}

impl fmt::Debug for Canvas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canvas").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Canvas {
    pub(super) fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Some(Box::new(writer)), live: Vec::new() }
    }

    /// Writes lines that stay, and the live ones below them, of which each is narrower than the terminal.
    pub(super) fn draw(&mut self, settled: &[String], live: Vec<String>) {
        if settled.is_empty() && live == self.live {
            return;
        }
        let mut text = String::from(TOGETHER);
        text.push('\r');
        if !settled.is_empty() {
            text.push_str(CLEAR);
            for line in settled {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
        text.push_str(NO_WRAP);
        for (at, line) in live.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "\r\n" });
            text.push_str(line);
            text.push_str(CLEAR_LINE);
        }
        // What is left of more lines before.
        text.push_str(CLEAR);
        text.push_str(WRAP);
        if live.len() > 1 {
            let _ = write!(text, "\u{1b}[{}A", live.len() - 1);
        }
        text.push('\r');
        text.push_str(SHOW);
        self.live = live;
        self.write(&text);
    }

    /// In one piece, so that a process that is killed leaves no terminal half-way.
    fn write(&mut self, text: &str) {
        let Some(writer) = &mut self.writer else { return };
        if writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_err() {
            self.writer = None;
        }
    }
}
