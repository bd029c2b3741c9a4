//! What there is to draw.

use std::collections::VecDeque;
use std::time::Instant;

use super::layout::{self, Share, Sheet, Whole};
use crate::event::{Event, Kind};
use crate::observe::PlainText;
use crate::observe::text::TextLine;

/// How many lines may wait for the terminal; of what commands write, the oldest are left out where there are more.
const WAITING: usize = 10_000;

/// A run, and what of it is not drawn yet.
#[derive(Debug)]
pub(super) struct State {
    pub(super) text: PlainText,
    whole: Whole,
    /// Lines that are to stay, and are not drawn yet.
    waiting: VecDeque<TextLine>,
    left_out: usize,
    /// The last line of each step of the whole run.
    pub(super) ends: Option<Vec<(usize, TextLine)>>,
    frame: usize,
    /// When the last event was seen.
    pub(super) heard: Instant,
    pub(super) is_over: bool,
}

/// What is to be drawn next. Its lines are made ready where nobody waits for them.
pub(super) struct Taken {
    sheet: Sheet,
    left_out: usize,
    settled: VecDeque<TextLine>,
    pub(super) live: Vec<String>,
}

impl Taken {
    /// The lines that are to stay.
    pub(super) fn settled(&self) -> Vec<String> {
        let left_out = (self.left_out > 0).then(|| format!("… {} lines are left out", self.left_out));
        left_out.into_iter().chain(self.settled.iter().map(|line| layout::settled(self.sheet, line))).collect()
    }
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            text: PlainText::new().with_output(),
            whole: Whole::default(),
            waiting: VecDeque::new(),
            left_out: 0,
            ends: None,
            frame: 0,
            heard: now,
            is_over: false,
        }
    }

    /// What is to be drawn on a terminal of this size.
    pub(super) fn take(&mut self, columns: u16, rows: u16, colors: bool, now: Instant) -> Taken {
        let (columns, rows) = (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows });
        let now = self.text.now + now.saturating_duration_since(self.heard);
        let sheet = Sheet {
            // The last column stays free: a terminal may wait there with the end of the line.
            width: usize::from(columns).saturating_sub(1).max(1),
            height: usize::from(rows).saturating_sub(1).max(1),
            colors,
            now,
            frame: self.frame,
        };
        self.frame = self.frame.wrapping_add(1);
        let live = if self.is_over { Vec::new() } else { layout::live(sheet, &self.text, &self.whole) };
        let (left_out, settled) = (std::mem::take(&mut self.left_out), std::mem::take(&mut self.waiting));
        Taken { sheet, left_out, settled, live }
    }

    pub(super) fn event(&mut self, event: &Event, is_whole: bool, now: Instant) {
        self.heard = now;
        let lines = self.text.lines(event);
        let has_line = !lines.is_empty();
        if is_whole {
            self.follow(event);
        }
        for line in lines {
            if let (true, Some(ends), Some(head)) = (is_whole, &mut self.ends, &line.head)
                && head.took.is_some()
            {
                ends.retain(|(number, _)| *number != head.number);
                ends.push((head.number, line.clone()));
            }
            self.wait(line);
        }
        if let (true, Kind::RunEnd(_)) = (is_whole, &event.kind) {
            self.sum_up(has_line);
        }
    }

    /// How far the whole is.
    fn follow(&mut self, event: &Event) {
        match &event.kind {
            Kind::RunStart(_) => self.whole.begun = self.text.now,
            Kind::RunResume(resume) => {
                (self.whole.begun, self.whole.goes_back) = (self.text.now, resume.rollback);
                self.is_over = false;
            }
            Kind::UndoStart(_) => self.whole.goes_back = true,
            Kind::RunEnd(_) => self.is_over = true,
            _ => {}
        }
        if let Some(progress) = &event.progress {
            self.whole.progress = Some(Share {
                percentage: progress.percentage,
                completed: progress.completed,
                total: progress.total_steps,
                eta: progress.eta,
                told: self.text.now,
            });
        }
    }

    fn wait(&mut self, line: TextLine) {
        if self.waiting.len() >= WAITING
            && let Some(oldest) = self.waiting.iter().position(|line| line.origin.is_some())
        {
            self.waiting.remove(oldest);
            self.left_out += 1;
        }
        self.waiting.push_back(line);
    }

    /// One line for each step, above that of the end where it has one.
    fn sum_up(&mut self, has_line: bool) {
        let Some(ends) = &mut self.ends else { return };
        let mut ends = std::mem::take(ends);
        ends.sort_by_key(|(number, _)| *number);
        let end = if has_line { self.waiting.pop_back() } else { None };
        self.waiting.push_back(TextLine::blank());
        self.waiting.extend(ends.into_iter().map(|(_, line)| line).chain(end));
        self.ends = Some(Vec::new());
    }
}
