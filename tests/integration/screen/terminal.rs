//! A terminal that a test can look at.

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use step_machine::Observer;
use step_machine::event::Event;
use step_machine::observe::{Drawing, ProgressBar};
use step_machine::time::ManualClock;

/// Clones are one terminal.
#[derive(Clone)]
pub(super) struct Terminal {
    parser: Arc<Mutex<vt100::Parser>>,
    /// All that was written.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.parser.lock().unwrap().process(bytes);
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Terminal {
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        let parser = vt100::Parser::new(some(rows), some(columns), 50_000);
        Self { parser: Arc::new(Mutex::new(parser)), written: Arc::default() }
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(some(rows), some(columns));
    }

    /// How many columns and rows it has.
    pub(super) fn size(&self) -> (u16, u16) {
        let (rows, columns) = self.parser.lock().unwrap().screen().size();
        (columns.get(), rows.get())
    }

    pub(super) fn written(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// The rows that can be seen, without those at the end that are empty.
    pub(super) fn rows(&self) -> Vec<String> {
        let parser = self.parser.lock().unwrap();
        let (_, columns) = parser.screen().size();
        let mut rows: Vec<_> = parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    /// The rows that can be seen, and above them those that have scrolled away.
    pub(super) fn history(&self) -> Vec<String> {
        let mut rows = Vec::new();
        {
            let mut parser = self.parser.lock().unwrap();
            let (_, columns) = parser.screen().size();
            parser.screen_mut().set_scrollback(usize::MAX);
            let above = parser.screen().scrollback();
            for at in (1..=above).rev() {
                parser.screen_mut().set_scrollback(at);
                rows.extend(parser.screen().rows(0, columns.get()).next().map(|row| row.trim_end().to_owned()));
            }
            parser.screen_mut().set_scrollback(0);
        }
        rows.extend(self.rows());
        rows
    }

    pub(super) fn cursor(&self) -> (u16, u16) {
        self.parser.lock().unwrap().screen().cursor_position()
    }

    pub(super) fn hides_cursor(&self) -> bool {
        self.parser.lock().unwrap().screen().hide_cursor()
    }
}

fn some(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// A run that is shown on a terminal and drawn after each event.
pub(super) struct Show {
    pub(super) terminal: Terminal,
    pub(super) clock: ManualClock,
    bar: Option<ProgressBar>,
    drawing: Drawing,
    at: Option<SystemTime>,
}

impl Show {
    pub(super) fn new(columns: u16, rows: u16, options: impl FnOnce(ProgressBar) -> ProgressBar) -> Self {
        let (terminal, clock) = (Terminal::new(columns, rows), ManualClock::new());
        let size = {
            let terminal = terminal.clone();
            move || terminal.size()
        };
        let (bar, drawing) = options(ProgressBar::terminal(terminal.clone(), size)).by_hand(clock.clone());
        Self { terminal, clock, bar: Some(bar), drawing, at: None }
    }

    /// An event comes when it happened, and what is new is drawn.
    pub(super) fn event(&mut self, event: &Event) {
        let before = self.at.replace(event.at).unwrap_or(event.at);
        self.clock.advance(event.at.duration_since(before).unwrap_or_default());
        self.bar.as_mut().unwrap().event(event);
        self.draw();
    }

    pub(super) fn draw(&self) {
        self.drawing.draw();
        let history = self.terminal.history();
        let bars = history.iter().filter(|row| row.starts_with("Progress:")).count();
        assert!(bars <= 1, "nothing is left behind:\n{}", history.join("\n"));
        assert!(!self.terminal.hides_cursor());
    }

    /// The run is dropped.
    pub(super) fn close(&mut self) {
        self.bar = None;
    }
}
