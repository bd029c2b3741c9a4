//! One line for people.

use std::fmt;
use std::time::Duration;

use super::clean::columns;
use crate::event::Level;

/// One line of [`PlainText`](super::PlainText). As text it is indented by four blanks for each run that it is nested in;
/// it has no control characters and no blanks at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLine {
    pub(in crate::observe) level: Level,
    pub(in crate::observe) depth: usize,
    pub(in crate::observe) head: Option<Head>,
    /// The number and the name of the step whose command wrote the line.
    pub(in crate::observe) origin: Option<(String, String)>,
    /// What else there is to say, or all of it.
    pub(in crate::observe) more: String,
}

/// `✓ 3/9  OpenTofu validate          0.004 s`
#[derive(Debug, Clone, PartialEq)]
pub(in crate::observe) struct Head {
    pub(in crate::observe) mark: char,
    pub(in crate::observe) number: usize,
    pub(in crate::observe) total: usize,
    pub(in crate::observe) name: String,
    /// How many columns the longest name of the plan has.
    pub(in crate::observe) width: usize,
    pub(in crate::observe) took: Option<Duration>,
}

impl TextLine {
    #[cfg(feature = "progress")]
    pub(in crate::observe) fn blank() -> Self {
        Self { level: Level::Info, depth: 0, head: None, origin: None, more: String::new() }
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How many runs its run is nested in.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The line without its indentation.
    pub fn text(&self) -> String {
        Self { depth: 0, ..self.clone() }.to_string()
    }

    /// Where an output line comes from: `3/9  OpenTofu apply`.
    pub(in crate::observe) fn origin(&self) -> String {
        self.origin.as_ref().map(|(count, name)| format!("{count}  {name}").trim_start().to_owned()).unwrap_or_default()
    }

    /// The line where it stands for itself and not below others: `3/9 OpenTofu apply: failed`.
    pub(in crate::observe) fn alone(&self) -> String {
        let Some(head) = &self.head else { return self.text() };
        let (count, name) = (head.count(), &head.name);
        format!("{} {name}: {}", count, self.more).trim_start().to_owned()
    }

    /// The line with a colour for its mark.
    pub(in crate::observe) fn painted(&self) -> String {
        let (text, depth) = (self.to_string(), 4 * self.depth);
        let (indent, rest) = text.split_at(depth.min(text.len()));
        let mut rest = rest.chars();
        match (&self.head, rest.next()) {
            (Some(head), Some(mark)) => format!("{indent}{}{}", paint(head.mark, mark, self.level), rest.as_str()),
            _ => text,
        }
    }

    /// Whether a reader who wants `least` and what matters more wants the line; a success matters as much as an
    /// [`Info`](Level::Info).
    pub fn is_at_least(&self, least: Level) -> bool {
        matters(self.level) >= matters(least)
    }
}

/// The level with success in its place between the others.
pub(in crate::observe) fn matters(level: Level) -> Level {
    if level == Level::Success { Level::Info } else { level }
}

/// A text in the colour of what it stands for.
pub(in crate::observe) fn paint(mark: char, text: impl fmt::Display, level: Level) -> String {
    let color = match (mark, level) {
        (_, Level::Error) => "31",
        (_, Level::Warning) => "33",
        (_, Level::Success) => "32",
        ('▸' | '>', _) => "36",
        _ => "2",
    };
    format!("\u{1b}[{color}m{text}\u{1b}[0m")
}

impl fmt::Display for TextLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = " ".repeat(4 * self.depth);
        if let Some(head) = &self.head {
            text.push_str(&head.to_string());
            text.push_str("  ");
        }
        text.push_str(&self.more);
        f.write_str(text.trim_end())
    }
}

impl Head {
    /// `3/9`, as wide for all steps, or nothing where the plan is not known.
    pub(in crate::observe) fn count(&self) -> String {
        let Self { number, total, .. } = self;
        let digits = total.checked_ilog10().unwrap_or(0) as usize + 1;
        if *total == 0 { String::new() } else { format!("{number:>digits$}/{total}") }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, count, name) = (self.mark, self.count(), &self.name);
        let gap = if count.is_empty() { "" } else { "  " };
        write!(f, "{mark} {count}{gap}{name}")?;
        if let Some(took) = self.took {
            let pad = self.width.saturating_sub(columns(name));
            write!(f, "{:pad$}  {}", "", seconds(took))?;
        }
        Ok(())
    }
}

/// `  0.012 s`
pub(in crate::observe) fn seconds(span: Duration) -> String {
    format!("{:>7.3} s", span.as_secs_f64())
}
