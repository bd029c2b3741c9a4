//! One row of a terminal, filled from the left until it is full.

use std::borrow::Cow;
use std::fmt::Write as _;

use console::{measure_text_width, truncate_str};

/// A row that never gets wider than there is room.
pub(super) struct Row {
    text: String,
    room: usize,
    colors: bool,
}

/// Colours, as a terminal is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Dim,
    Cyan,
    Yellow,
    Green,
}

impl Row {
    pub(super) fn new(room: usize, colors: bool) -> Self {
        Self { text: String::new(), room, colors }
    }

    /// How many columns are left.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Adds a text, or as much of it as there is room for.
    pub(super) fn push(&mut self, ink: Ink, text: &str) -> &mut Self {
        let text = cut(text, self.room);
        self.room -= measure_text_width(&text).min(self.room);
        let code = match ink {
            _ if !self.colors || text.trim().is_empty() => None,
            Ink::Plain => None,
            Ink::Dim => Some("2"),
            Ink::Cyan => Some("36"),
            Ink::Yellow => Some("33"),
            Ink::Green => Some("32"),
        };
        match code {
            Some(code) => {
                let _ = write!(self.text, "\u{1b}[{code}m{text}\u{1b}[0m");
            }
            None => self.text.push_str(&text),
        }
        self
    }

    /// Adds a text that takes `width` columns, whatever it has.
    pub(super) fn column(&mut self, ink: Ink, text: &str, width: usize) -> &mut Self {
        let text = cut(text, width.min(self.room));
        let pad = width.saturating_sub(measure_text_width(&text));
        self.push(ink, &text).push(Ink::Plain, &" ".repeat(pad))
    }

    /// Adds a text where all of it has room.
    pub(super) fn push_whole(&mut self, ink: Ink, text: &str) -> &mut Self {
        if measure_text_width(text) <= self.room { self.push(ink, text) } else { self }
    }

    pub(super) fn finish(self) -> String {
        if self.colors { self.text } else { self.text.trim_end().to_owned() }
    }
}

/// A text that is too wide ends in `…`.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    match width {
        0 => Cow::Borrowed(""),
        _ if measure_text_width(text) <= width => Cow::Borrowed(text),
        _ => truncate_str(text, width, "…"),
    }
}
