//! A run on a terminal.

mod canvas;
mod layout;
mod row;
mod state;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canvas::Canvas;
use console::Term;
use state::State;

use super::ticker::Ticker;
use super::{Observer, PlainLog, PlainText};
use crate::event::{Event, Kind, Level};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::sync::lock;
use crate::time::{Clock, SystemClock};

/// How often the live lines are drawn.
const TICK: Duration = Duration::from_millis(100);

type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

/// Shows a run on a terminal: a line for each step that is settled, and below them what is going on.
///
/// Each step that runs has a line with its time, its progress, and what was last heard of it, or the time to its next
/// attempt; its tasks and the steps of a run that is nested in it are indented below. The last line is how far the whole
/// is. Lines that commands write stand above with those that are settled. Observing stores what happened and draws
/// nothing: a thread of its own draws ten times a second, so a slow terminal does not slow the run.
///
/// Where the stream is no terminal, it is a [`PlainLog`]. Colours follow `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE`.
///
/// # Examples
///
/// ```
/// use step_machine::{Workflow, observe::ProgressBar};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let run = Greet::machine().observe(ProgressBar::stderr()).begin()?;
/// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```text
/// ✓ 1/3  Fetch     2.104 s
/// ✓ 2/3  Unpack    0.310 s
/// ⠹ 3/3  Install   4.2 s  ██████░░░░   60 %  copying files
/// Progress: 86.7% (2/3)  █████████████████░░░  6.6 s elapsed, about 1.0 s left
/// ```
pub struct ProgressBar {
    page: Page,
}

enum Page {
    Live(Live),
    Plain(Option<PlainLog<Box<dyn Write + Send>>>),
}

/// A terminal that is drawn on.
struct Live {
    state: Arc<Mutex<State>>,
    canvas: Arc<Mutex<Canvas>>,
    size: Size,
    clock: Arc<dyn Clock>,
    colors: bool,
    /// Whether no thread draws.
    by_hand: bool,
    /// The run that others may be nested in.
    run: Option<RunId>,
    ticker: Option<Ticker>,
}

impl fmt::Debug for ProgressBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressBar").field("is_live", &matches!(self.page, Page::Live(_))).finish_non_exhaustive()
    }
}

impl ProgressBar {
    /// On the standard error, if that is a terminal.
    pub fn stderr() -> Self {
        Self::of(Term::stderr(), io::stderr())
    }

    /// On the standard output, if that is a terminal.
    pub fn stdout() -> Self {
        Self::of(Term::stdout(), io::stdout())
    }

    fn of(term: Term, writer: impl Write + Send + 'static) -> Self {
        let is_terminal = term.is_term() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colors = has_colors(is_terminal);
        if !is_terminal {
            let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
            let log = PlainLog::new(Box::new(writer) as Box<dyn Write + Send>).colors(colors).github_actions(github);
            return Self { page: Page::Plain(Some(log)) };
        }
        let size = move || term.size_checked().map_or((80, 24), |(rows, columns)| (columns, rows));
        Self::terminal(writer, size).colors(colors)
    }

    /// On a terminal that `writer` writes to, of so many columns and rows as `size` says each time.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::observe::ProgressBar;
    ///
    /// let bar = ProgressBar::terminal(std::io::stderr(), || (80, 24)).colors(true);
    /// # let _ = bar;
    /// ```
    pub fn terminal(
        writer: impl Write + Send + 'static,
        size: impl Fn() -> (u16, u16) + Send + Sync + 'static,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = State::new(clock.instant());
        Self {
            page: Page::Live(Live {
                state: Arc::new(Mutex::new(state)),
                canvas: Arc::new(Mutex::new(Canvas::new(writer))),
                size: Arc::new(size),
                clock,
                colors: false,
                by_hand: false,
                run: None,
                ticker: None,
            }),
        }
    }

    fn with(
        mut self,
        live: impl FnOnce(&mut Live),
        plain: impl FnOnce(PlainLog<Box<dyn Write + Send>>) -> PlainLog<Box<dyn Write + Send>>,
    ) -> Self {
        match &mut self.page {
            Page::Live(page) => live(page),
            Page::Plain(log) => *log = log.take().map(plain),
        }
        self
    }

    fn with_text(
        self,
        change: fn(PlainText) -> PlainText,
        plain: fn(PlainLog<Box<dyn Write + Send>>) -> PlainLog<Box<dyn Write + Send>>,
    ) -> Self {
        self.with(|live| live.with_text(change), plain)
    }

    /// Shows lines that matter so much or more; [`Level::Info`] unless it is said. What is going on is shown in any case.
    #[must_use]
    pub fn level(self, least: Level) -> Self {
        let change = |text: PlainText| {
            let text = text.level(least);
            if least == Level::Debug { text.at_once() } else { text }
        };
        self.with(|live| live.with_text(change), |log| log.level(least))
    }

    /// Whether the lines that commands write are shown above, which they are on a terminal unless it is said; otherwise only
    /// the last one is, beside its step.
    #[must_use]
    pub fn output(self, output: bool) -> Self {
        if output {
            self.with_text(PlainText::with_output, PlainLog::output)
        } else {
            self.with_text(PlainText::without_output, |log| log)
        }
    }

    /// Whether one line for each step is shown once more at the end: those that commands write may have come between.
    #[must_use]
    pub fn summary(self, summary: bool) -> Self {
        self.with(|live| lock(&live.state).ends = summary.then(Vec::new), |log| log)
    }

    /// Tells what was done before too, where a run goes on; see [`PlainText::after`].
    #[must_use]
    pub fn after(self, before: impl IntoIterator<Item = RunState>) -> Self {
        let before: Vec<_> = before.into_iter().collect();
        match &self.page {
            Page::Live(_) => self.with(|live| live.with_text(|text| text.after(before)), |log| log),
            Page::Plain(_) => self.with(|_| {}, |log| log.after(before)),
        }
    }

    /// Whether there are colours, whatever the environment says.
    #[must_use]
    pub fn colors(self, colors: bool) -> Self {
        self.with(|live| live.colors = colors, |log| log.colors(colors))
    }

    /// Takes the time from `clock`, and draws only when the [`Drawing`] is told to: for a program with a rhythm of its own,
    /// and for tests. Does nothing where the stream is no terminal.
    #[must_use]
    pub fn by_hand(mut self, clock: impl Clock + 'static) -> (Self, Drawing) {
        let live = match &mut self.page {
            Page::Live(live) => {
                live.by_hand = true;
                live.clock = Arc::new(clock);
                lock(&live.state).heard = live.clock.instant();
                Some(live.pen())
            }
            Page::Plain(_) => None,
        };
        (self, Drawing(live))
    }
}

/// Draws a [`ProgressBar`] when it is told to; see [`ProgressBar::by_hand`].
#[derive(Debug, Clone)]
pub struct Drawing(Option<Pen>);

impl Drawing {
    /// Draws what is new.
    pub fn draw(&self) {
        if let Some(pen) = &self.0 {
            pen.draw();
        }
    }
}

/// What draws.
#[derive(Clone)]
struct Pen {
    state: Arc<Mutex<State>>,
    canvas: Arc<Mutex<Canvas>>,
    size: Size,
    clock: Arc<dyn Clock>,
    colors: bool,
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pen").finish_non_exhaustive()
    }
}

impl Pen {
    fn draw(&self) {
        let (columns, rows) = (self.size)();
        // What is new is taken before it is drawn: whoever tells something does not wait for the terminal.
        let mut canvas = lock(&self.canvas);
        let taken = lock(&self.state).take(columns, rows, self.colors, self.clock.instant());
        canvas.draw(&taken.settled(), taken.live);
    }
}

impl Live {
    fn with_text(&mut self, change: impl FnOnce(PlainText) -> PlainText) {
        let mut state = lock(&self.state);
        state.text = change(std::mem::take(&mut state.text));
    }

    fn pen(&self) -> Pen {
        Pen {
            state: self.state.clone(),
            canvas: self.canvas.clone(),
            size: self.size.clone(),
            clock: self.clock.clone(),
            colors: self.colors,
        }
    }

    fn event(&mut self, event: &Event) {
        let is_whole = self.run.get_or_insert_with(|| event.run.clone()) == &event.run;
        lock(&self.state).event(event, is_whole, self.clock.instant());
        match &event.kind {
            Kind::RunStart(_) | Kind::RunResume(_) if is_whole && !self.by_hand && self.ticker.is_none() => {
                let pen = self.pen();
                self.ticker = Ticker::start(TICK, move || {
                    pen.draw();
                    TICK
                });
            }
            Kind::RunEnd(_) if is_whole => self.end(),
            _ => {}
        }
    }

    /// Leaves the terminal with what is settled and nothing else.
    fn end(&mut self) {
        self.ticker = None;
        lock(&self.state).is_over = true;
        self.pen().draw();
    }
}

impl Observer for ProgressBar {
    fn event(&mut self, event: &Event) {
        match &mut self.page {
            Page::Live(live) => live.event(event),
            Page::Plain(log) => log.iter_mut().for_each(|log| log.event(event)),
        }
    }
}

impl Drop for ProgressBar {
    /// Also where the run was dropped on its way, or panicked.
    fn drop(&mut self) {
        if let Page::Live(live) = &mut self.page {
            live.end();
        }
    }
}

/// What the environment says of colours.
fn has_colors(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    let is_forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    is_forced || (is_terminal && set("CLICOLOR").is_none_or(|value| value != "0"))
}
