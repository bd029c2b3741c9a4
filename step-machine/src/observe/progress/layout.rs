//! How a run looks on a terminal of some width.

use std::time::Duration;

use console::measure_text_width;

use super::row::{Ink, Row};
use crate::event::Level;
use crate::observe::PlainText;
use crate::observe::text::{Doing, Head, Task, TextLine, Told, Undone, matters, paint, seconds};

/// A terminal at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet {
    /// How many columns may be written to.
    pub(super) width: usize,
    /// How many live lines there may be.
    pub(super) height: usize,
    pub(super) colors: bool,
    /// Now, in time since the Unix epoch.
    pub(super) now: Duration,
    /// Which picture of the spinner is shown.
    pub(super) frame: usize,
}

/// How far the whole run is.
#[derive(Debug, Clone, Default)]
pub(super) struct Whole {
    /// When it began, in time since the Unix epoch.
    pub(super) begun: Duration,
    pub(super) progress: Option<Share>,
    /// Whether its effects are being taken back.
    pub(super) goes_back: bool,
}

/// How far a run was when it was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) percentage: f64,
    pub(super) completed: usize,
    pub(super) total: usize,
    pub(super) eta: Option<Duration>,
    /// When that was, in time since the Unix epoch.
    pub(super) told: Duration,
}

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Below so many columns there are no bars.
const ROOM_FOR_BARS: usize = 60;

/// What is going on: a line for each step and task, and one for the whole.
pub(super) fn live(sheet: Sheet, text: &PlainText, whole: &Whole) -> Vec<String> {
    let mut rows = Vec::new();
    // Those that are nested come with the step that they are in.
    for told in text.runs.iter().filter(|told| told.depth == 0) {
        run(sheet, text, told, &mut rows);
    }
    let room = sheet.height.saturating_sub(1);
    if rows.len() > room {
        let more = rows.len() - room.saturating_sub(1);
        rows.truncate(room.saturating_sub(1));
        if room > 0 {
            let mut row = Row::new(sheet.width, sheet.colors);
            row.push(Ink::Dim, &format!("… and {more} more"));
            rows.push(row.finish());
        }
    }
    rows.push(whole_row(sheet, whole));
    rows
}

fn run(sheet: Sheet, text: &PlainText, told: &Told, rows: &mut Vec<String>) {
    for doing in &told.doing {
        rows.push(step(sheet, told, doing));
        rows.extend(doing.tasks.iter().map(|one| task(sheet, told.depth + 1, one)));
        let is_inside = |inner: &&Told| {
            inner.parent.as_ref().is_some_and(|parent| parent.run == told.run && parent.step == doing.step)
        };
        for inner in text.runs.iter().filter(is_inside) {
            run(sheet, text, inner, rows);
        }
    }
}

/// `⠹ 3/9  OpenTofu apply     12.3 s  ██████░░░░  60 %  creating one instance`
fn step(sheet: Sheet, told: &Told, doing: &Doing) -> String {
    let head = told.head(' ', &doing.step, None);
    let mut row = begin(sheet, told.depth);
    let spinner = match doing.undone {
        Undone::No => SPINNER[sheet.frame % SPINNER.len()],
        Undone::Yes => '↶',
    };
    row.push(Ink::Cyan, &spinner.to_string());
    named(&mut row, &head, &clock(sheet.now.saturating_sub(doing.since)));
    if let Some(next) = doing.next_attempt.filter(|next| *next > sheet.now) {
        let wait = next.saturating_sub(sheet.now).as_secs_f64();
        row.push(Ink::Yellow, &format!("  in {wait:.1} s {}", doing.last()));
    } else {
        fraction(&mut row, sheet, doing.fraction);
        row.push(Ink::Plain, &said(doing.last()));
    }
    row.finish()
}

fn task(sheet: Sheet, depth: usize, task: &Task) -> String {
    let mut row = begin(sheet, depth);
    row.push(Ink::Cyan, &SPINNER[sheet.frame % SPINNER.len()].to_string());
    row.push(Ink::Plain, &format!(" {}", task.name));
    fraction(&mut row, sheet, task.fraction);
    row.push(Ink::Plain, &said(&task.message));
    row.finish()
}

fn begin(sheet: Sheet, depth: usize) -> Row {
    let mut row = Row::new(sheet.width, sheet.colors);
    row.push(Ink::Plain, &" ".repeat((4 * depth).min(sheet.width / 3)));
    row
}

/// ` 3/9  OpenTofu apply     12.3 s`: the name gives way where there is little room.
fn named(row: &mut Row, head: &Head, time: &str) {
    let count = head.count();
    let count = if count.is_empty() { " ".to_owned() } else { format!(" {count}  ") };
    row.push(Ink::Dim, &count);
    let time = format!("  {time}");
    let room = row.room().saturating_sub(measure_text_width(&time)).max(4);
    row.column(Ink::Plain, &head.name, head.width.max(measure_text_width(&head.name)).min(room));
    row.push_whole(Ink::Dim, &time);
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("  {text}") }
}

fn fraction(row: &mut Row, sheet: Sheet, fraction: Option<f64>) {
    let Some(fraction) = fraction.filter(|fraction| *fraction > 0.0) else { return };
    if sheet.width >= ROOM_FOR_BARS {
        row.push_whole(Ink::Green, &format!("  {}", bar(fraction, 10)));
    }
    row.push_whole(Ink::Plain, &format!("  {:>3.0} %", (fraction.clamp(0.0, 1.0) * 100.0).floor()));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few columns"
)]
fn bar(fraction: f64, columns: usize) -> String {
    let full = ((fraction.clamp(0.0, 1.0) * columns as f64).floor() as usize).min(columns);
    "█".repeat(full) + &"░".repeat(columns - full)
}

/// `Progress: 62.5% (5/8)  █████████████░░░░░░░  12.3 s elapsed, about 7.4 s left`
fn whole_row(sheet: Sheet, whole: &Whole) -> String {
    let mut row = Row::new(sheet.width, sheet.colors);
    let Some(progress) = &whole.progress else { return row.finish() };
    let Share { percentage, completed, total, eta, told } = *progress;
    row.push(Ink::Plain, &format!("Progress: {percentage:.1}% ({completed}/{total})"));
    let elapsed = clock(sheet.now.saturating_sub(whole.begun));
    let elapsed = elapsed.trim_start();
    let left = eta.map(|eta| eta.saturating_sub(sheet.now.saturating_sub(told)));
    // An estimate that is over was wrong, and a new one comes with the next event.
    let left = left.filter(|left| *left >= Duration::from_millis(100) && !whole.goes_back);
    let left = left.map(|left| clock(left).trim_start().to_owned());
    if sheet.width >= ROOM_FOR_BARS {
        row.push(Ink::Green, &format!("  {}", bar(percentage / 100.0, 20)));
        row.push(Ink::Plain, &format!("  {elapsed} elapsed"));
        row.push_whole(Ink::Plain, &left.map(|left| format!(", about {left} left")).unwrap_or_default());
    } else {
        row.push_whole(Ink::Plain, &format!("  {elapsed}"));
        row.push_whole(Ink::Plain, &left.map(|left| format!(", ~{left} left")).unwrap_or_default());
    }
    if whole.goes_back {
        row.push_whole(Ink::Yellow, ", rolling back");
    }
    row.finish()
}

/// ` 12.3 s`, `  1m 05s`, `2h 05m`: always as wide.
pub(super) fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        // Never more than there is: a second that is not over is none.
        0..60 => format!("{:>5}.{} s", seconds, span.subsec_millis() / 100),
        60..3600 => format!("{:>3}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{:>3}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A line that stays. What matters little is cut where the terminal ends; what matters goes on on the next row.
pub(super) fn settled(sheet: Sheet, line: &TextLine) -> String {
    let text = line.to_string();
    let fits = measure_text_width(&text) <= sheet.width;
    let Some(head) = line.head.as_ref().filter(|_| !fits) else {
        return if sheet.colors { line.painted() } else { text };
    };
    let is_whole = matters(line.level) >= Level::Warning;
    let mut row = begin(sheet, line.depth);
    let mark = head.mark.to_string();
    let took = head.took.map(seconds).unwrap_or_default();
    row.push(Ink::Plain, &mark);
    named(&mut row, head, &took);
    if is_whole {
        // As many rows as it takes.
        let mut text = row.finish();
        text.push_str("  ");
        text.push_str(&line.more);
        return colored(sheet, line, head, text);
    }
    row.push(Ink::Plain, &said(&line.more));
    colored(sheet, line, head, row.finish())
}

/// The same with a colour for its mark.
fn colored(sheet: Sheet, line: &TextLine, head: &Head, text: String) -> String {
    if !sheet.colors {
        return text;
    }
    text.replacen(head.mark, &paint(head.mark, head.mark, line.level), 1)
}
