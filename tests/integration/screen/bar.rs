//! What is drawn on a terminal.

use std::fmt::Write;

use step_machine::event::{Event, EventType, Level};
use step_machine::observe::ProgressBar;

use super::assert_kept;
use super::script::{Script, rich};
use super::terminal::Show;

/// What is on the terminal after the events of which `wanted` is true, and all that was on it at the end.
fn film(script: &Script, mut show: Show, wanted: impl Fn(&Event) -> bool) -> String {
    let mut film = String::new();
    for event in &script.events {
        show.event(event);
        if wanted(event) {
            let (_, rows) = show.terminal.size();
            let seen = show.terminal.rows();
            assert!(seen.len() <= usize::from(rows));
            writeln!(film, "--- {} {}\n{}", event.event_type(), event.step().unwrap_or_default(), seen.join("\n"))
                .unwrap();
        }
    }
    show.close();
    let history = show.terminal.history();
    assert_eq!(history.iter().filter(|row| row.starts_with("Progress:")).count(), 0, "it is gone with the run");
    assert_eq!(show.terminal.cursor().1, 0, "no half line is left");
    writeln!(film, "--- all of it\n{}", history.join("\n")).unwrap();
    film
}

fn telling(event: &Event) -> bool {
    use EventType::{RunEnd, RunStart, Stdout, StepRetry, StepStart, StepUpdate, TaskUpdate, UndoStart};
    [RunEnd, RunStart, StepRetry, StepStart, StepUpdate, Stdout, TaskUpdate, UndoStart].contains(&event.event_type())
}

#[test]
fn a_run_fits_terminals_of_any_width() {
    for columns in [40, 80, 200] {
        let film = film(&rich(), Show::new(columns, 24, |bar| bar), telling);
        assert_kept(&format!("rich-{columns}.txt"), &film);
        let is_narrow = |row: &str| console_columns(row) <= usize::from(columns);
        assert_eq!(film.lines().find(|row| !is_narrow(row)), None);
    }
}

/// Wide characters take two columns.
fn console_columns(text: &str) -> usize {
    text.chars().map(|c| if ('\u{2e80}'..='\u{ffdc}').contains(&c) { 2 } else { 1 }).sum()
}
