//! Tables for people: aligned, and no wider than they may be.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::one_line;

/// Where nothing says how wide the screen is.
const WIDTH: usize = 80;

/// The narrowest that a column is cut to.
const LEAST: usize = 6;

/// How wide lines may be.
pub(crate) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(terminal).filter(|&columns| columns >= 40).unwrap_or(WIDTH)
}

/// How wide the terminal is, where standard output is one.
#[cfg(unix)]
fn terminal() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn terminal() -> Option<usize> {
    None
}

/// What a column does with its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Never cut.
    Whole,
    /// Never cut, and at the right.
    Number,
    /// Cut where the table is too wide.
    Cut,
    /// Cut before any other one.
    First,
}

pub(crate) struct Table {
    columns: Vec<(&'static str, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Fit)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a line; whatever its texts are, it is one.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(cell.as_ref())).collect());
    }

    pub(crate) fn write(&self, indent: usize, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths(width().saturating_sub(indent));
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = " ".repeat(indent);
            for ((cell, width), (_, fit)) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = cut(cell, *width);
                let space = " ".repeat(width.saturating_sub(cell.width()));
                match fit {
                    Fit::Number => line.extend([space.as_str(), &cell]),
                    Fit::Whole | Fit::Cut | Fit::First => line.extend([cell.as_str(), &space]),
                }
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self, most: usize) -> Vec<usize> {
        let widest = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
            cells.max().unwrap_or(0).max(self.columns[index].0.width())
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let gaps = 2 * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > most {
            let widest = [Fit::First, Fit::Cut].into_iter().find_map(|fit| self.widest(fit, &widths));
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        widths
    }

    /// The widest column of this kind that may be cut further.
    fn widest(&self, fit: Fit, widths: &[usize]) -> Option<usize> {
        let cuttable = (0..widths.len()).filter(|&index| self.columns[index].1 == fit && widths[index] > LEAST);
        cuttable.max_by_key(|&index| widths[index])
    }
}

/// A text that is no wider than `width`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(table: &Table, most: usize) -> Vec<usize> {
        table.widths(most)
    }

    #[test]
    fn what_is_cut_first_is_cut_first_and_then_the_widest() {
        let mut table = Table::new(&[("RUN", Fit::Whole), ("WORKFLOW", Fit::Cut), ("ERROR", Fit::Cut)]);
        table.row(["0123456789", "a-workflow-of-some-length", "what went wrong, at some length and more"]);
        assert_eq!(lines(&table, 200), [10, 25, 40]);
        assert_eq!(lines(&table, 60), [10, 23, 23]);
        assert_eq!(lines(&table, 10), [10, 6, 6], "what cannot be cut stays");
    }

    #[test]
    fn a_remark_gives_way_before_a_name() {
        let mut table = Table::new(&[("STEP", Fit::Cut), ("", Fit::First)]);
        table.row(["a-step-of-some-length", "a remark of some more length than the step"]);
        assert_eq!(lines(&table, 60), [21, 37]);
        assert_eq!(lines(&table, 25), [17, 6]);
    }

    #[test]
    fn wide_characters_count_as_they_are_shown() {
        assert_eq!(cut("日本語のテキスト", 16), "日本語のテキスト");
        assert_eq!(cut("日本語のテキスト", 8), "日本語…");
        assert_eq!(cut("some words", 6), "some…");
    }
}
