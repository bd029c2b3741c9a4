//! A run as lines of text, for files, pipes and whoever has no terminal.

mod github;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use github::Groups;

use super::text::TextLine;
use super::ticker::Ticker;
use super::{Observer, PlainText};
use crate::event::{Event, Kind, Level};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::sync::lock;

/// The silence after which a run is said to be still running.
const SILENCE: Duration = Duration::from_secs(30);

/// Writes one line for each change of a run, without escape codes; see [`PlainText`] for the lines.
///
/// After 30 seconds without a line it says what is still running. In GitHub Actions, the log on the standard output or
/// error puts what commands write into a group for each step, and makes errors and warnings annotations.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
///
/// # Examples
///
/// ```
/// use step_machine::{Workflow, observe::PlainLog};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let run = Greet::machine().observe(PlainLog::stdout()).begin()?;
/// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```text
/// greet: 1 step, run 01a1fc38-8800-720c-839f-bd57b5872858
/// ✓ 1/1  Hello    0.000 s
/// completed in 0.000 s
/// ```
#[derive(Debug)]
pub struct PlainLog<W> {
    page: Arc<Mutex<Page<W>>>,
    silence: Option<Duration>,
    /// The run that others may be nested in.
    run: Option<RunId>,
    ticker: Option<Ticker>,
}

#[derive(Debug)]
struct Page<W> {
    /// `None` once it failed.
    writer: Option<W>,
    text: PlainText,
    groups: Option<Groups>,
    timestamps: bool,
    colors: bool,
    /// The time of the last event, and when it was seen.
    at: SystemTime,
    heard: Instant,
    /// When something was last written.
    written: Instant,
}

impl PlainLog<io::Stdout> {
    /// Writes to the standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout()).github_actions(github::is_there())
    }
}

impl PlainLog<io::Stderr> {
    /// Writes to the standard error.
    pub fn stderr() -> Self {
        Self::new(io::stderr()).github_actions(github::is_there())
    }
}

impl<W: Write + Send> PlainLog<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        let now = Instant::now();
        let page = Page {
            writer: Some(writer),
            text: PlainText::new(),
            groups: None,
            timestamps: false,
            colors: false,
            at: SystemTime::UNIX_EPOCH,
            heard: now,
            written: now,
        };
        Self { page: Arc::new(Mutex::new(page)), silence: Some(SILENCE), run: None, ticker: None }
    }

    fn with(self, change: impl FnOnce(&mut Page<W>)) -> Self {
        change(&mut lock(&self.page));
        self
    }

    fn with_text(self, change: impl FnOnce(PlainText) -> PlainText) -> Self {
        self.with(|page| page.text = change(std::mem::take(&mut page.text)))
    }

    /// Writes what matters so much or more; [`Level::Info`] unless it is said. [`Level::Debug`] writes everything: the begin
    /// of each step, its messages as they come, its tasks, and what its commands write.
    #[must_use]
    pub fn level(self, least: Level) -> Self {
        self.with_text(|text| {
            let text = text.level(least);
            if least == Level::Debug { text.at_once() } else { text }
        })
    }

    /// Writes what commands write too, whose lines matter as much as an [`Level::Info`] then.
    #[must_use]
    pub fn output(self) -> Self {
        self.with_text(PlainText::with_output)
    }

    /// Tells what was done before too, where a run goes on; see [`PlainText::after`].
    #[must_use]
    pub fn after(self, before: impl IntoIterator<Item = RunState>) -> Self {
        self.with_text(|text| text.after(before))
    }

    /// Says after such a silence what is still running; `None` never does. A silence of zero counts as a millisecond.
    #[must_use]
    pub fn still_running_after(self, silence: impl Into<Option<Duration>>) -> Self {
        Self { silence: silence.into().map(|silence| silence.max(Duration::from_millis(1))), ..self }
    }

    /// Begins each line with its time, in UTC.
    #[must_use]
    pub fn timestamps(self) -> Self {
        self.with(|page| page.timestamps = true)
    }

    /// Whether the marks of the lines have colours; they have none unless it is asked for.
    #[must_use]
    pub fn colors(self, colors: bool) -> Self {
        self.with(|page| page.colors = colors)
    }

    /// Whether it is written for the log of GitHub Actions: what the commands of a step write is a group, and errors and
    /// warnings are annotations.
    #[must_use]
    pub fn github_actions(self, is_there: bool) -> Self {
        let log = self.with(|page| page.groups = is_there.then(Groups::default));
        if is_there { log.output() } else { log }
    }
}

impl<W: Write + Send> Page<W> {
    fn event(&mut self, event: &Event) {
        if self.writer.is_none() {
            return;
        }
        (self.at, self.heard) = (event.at, Instant::now());
        for line in self.text.lines(event) {
            self.line(&line, Some(event));
        }
        if matches!(event.kind, Kind::RunEnd(_) | Kind::StepEnd(_)) {
            let end = self.groups.as_mut().and_then(Groups::close);
            self.write(end.as_deref().unwrap_or_default());
        }
    }

    fn line(&mut self, line: &TextLine, event: Option<&Event>) {
        let text = if self.colors { line.painted() } else { line.to_string() };
        // What no event says is said now.
        let at = if event.is_some() { self.at } else { self.at + self.heard.elapsed() };
        let time = if self.timestamps { format!("{} ", humantime::format_rfc3339_millis(at)) } else { String::new() };
        let written = match &mut self.groups {
            None => format!("{time}{text}\n"),
            Some(groups) => groups.line(line, event, &time, &text),
        };
        self.write(&written);
    }

    /// In one piece, so that lines of several writers do not mix.
    fn write(&mut self, text: &str) {
        let Some(writer) = self.writer.as_mut().filter(|_| !text.is_empty()) else { return };
        if writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_err() {
            self.writer = None;
        }
        self.written = Instant::now();
    }

    /// Says what is still running, where nothing was written for so long; how long to wait before the next look.
    fn look(&mut self, silence: Duration) -> Duration {
        let quiet = self.written.elapsed();
        if quiet < silence {
            return silence.saturating_sub(quiet);
        }
        for line in self.text.still_running(self.heard.elapsed()) {
            self.line(&line, None);
        }
        // Also where there was nothing to say.
        self.written = Instant::now();
        silence
    }
}

impl<W: Write + Send + 'static> PlainLog<W> {
    /// Looks for silence from here on.
    fn listen(&mut self) {
        let Some(silence) = self.silence.filter(|_| self.ticker.is_none()) else { return };
        let page = self.page.clone();
        self.ticker = Ticker::start(silence, move || lock(&page).look(silence));
    }
}

impl<W: Write + Send + 'static> Observer for PlainLog<W> {
    fn event(&mut self, event: &Event) {
        let begins = matches!(event.kind, Kind::RunStart(_) | Kind::RunResume(_));
        if begins && self.run.as_ref().is_none_or(|run| *run == event.run) {
            self.run.get_or_insert_with(|| event.run.clone());
            lock(&self.page).written = Instant::now();
            self.listen();
        }
        lock(&self.page).event(event);
        if matches!(event.kind, Kind::RunEnd(_)) && self.run.as_ref() == Some(&event.run) {
            self.ticker = None;
        }
    }
}
