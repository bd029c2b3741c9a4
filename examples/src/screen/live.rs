//! The last line of a terminal, which changes while a step runs.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const TICK: Duration = Duration::from_millis(100);

/// To the start of the line, and nothing left on it.
const CLEAR: &str = "\r\x1b[K";

/// How much of a line is shown at most: what a terminal of the usual width has room for.
const WIDTH: usize = 79;

/// Without and with lines that are too long going on on the next one: the live line must stay one, however narrow.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What is going on.
#[derive(Debug, Clone)]
pub(super) struct Status {
    /// Mark, number and name, as on the line that the step ends with.
    pub(super) head: String,
    pub(super) since: Instant,
    pub(super) run_since: Instant,
    pub(super) percentage: f64,
    /// The time that remains, as of when it was told.
    pub(super) eta: Option<(Instant, Duration)>,
    /// When the next attempt comes, and what is to be said of it.
    pub(super) wait: Option<(Instant, String)>,
    /// What was last heard from the step.
    pub(super) news: String,
}

impl Status {
    fn text(&self, now: Instant) -> String {
        let step = now.saturating_duration_since(self.since).as_secs_f64();
        let more = match &self.wait {
            Some((until, what)) => {
                let wait = until.saturating_duration_since(now).as_secs_f64();
                format!("in {wait:.1} s {what}")
            }
            None => self.outlook(now),
        };
        format!("{}  {step:>7.1} s  {:.0} %, {more}", self.head, self.percentage.floor())
    }

    /// The run so far, what may remain of it, and the news.
    fn outlook(&self, now: Instant) -> String {
        let run = now.saturating_duration_since(self.run_since).as_secs_f64();
        let left = self.eta.map(|(told, eta)| eta.saturating_sub(now.saturating_duration_since(told)).as_secs_f64());
        // An estimate that is over was wrong, and a new one comes with the next event.
        let left = left.filter(|left| *left >= 0.1).map(|left| format!(", about {left:.1} s left"));
        let news = if self.news.is_empty() { String::new() } else { format!("; {}", self.news) };
        format!("{run:.1} s so far{}{news}", left.unwrap_or_default())
    }
}

/// Lines that stay, and below them one that changes where there is a terminal.
///
/// Once the writer fails, a closed pipe for one, nothing more is written.
pub(super) struct Page<W> {
    sheet: Arc<Mutex<Sheet<W>>>,
    ticker: Option<Ticker>,
}

struct Sheet<W> {
    writer: W,
    is_live: bool,
    /// How many columns the terminal has at the moment, where that is known.
    columns: fn() -> Option<usize>,
    status: Option<Status>,
    broken: bool,
}

/// Writes the live line anew, until it is dropped.
struct Ticker {
    // Dropped, it wakes the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<W: Write + Send> Page<W> {
    pub(super) fn new(writer: W) -> Self {
        let sheet = Sheet { writer, is_live: false, columns: || None, status: None, broken: false };
        Self { sheet: Arc::new(Mutex::new(sheet)), ticker: None }
    }

    pub(super) fn line(&self, line: &str) {
        self.with(|sheet| sheet.line(line));
    }

    /// Changes what the live line says; there is none without a terminal.
    pub(super) fn change(&self, change: impl FnOnce(&mut Option<Status>)) {
        self.with(|sheet| {
            if sheet.is_live {
                change(&mut sheet.status);
                sheet.draw();
            }
        });
    }

    fn with(&self, act: impl FnOnce(&mut Sheet<W>)) {
        act(&mut self.sheet.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<W: Write + Send + 'static> Page<W> {
    /// Keeps a live line below the others, on a terminal of so many columns.
    pub(super) fn live(mut self, columns: fn() -> Option<usize>) -> Self {
        self.with(|sheet| (sheet.is_live, sheet.columns) = (true, columns));
        let (stop, stopped) = mpsc::channel();
        let sheet = self.sheet.clone();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                sheet.lock().unwrap_or_else(PoisonError::into_inner).draw();
            }
        });
        self.ticker = Some(Ticker { stop: Some(stop), thread: Some(thread) });
        self
    }
}

impl<W: Write> Sheet<W> {
    fn line(&mut self, line: &str) {
        let clear = if self.is_live { CLEAR } else { "" };
        let status = self.status_line();
        self.write(&format!("{clear}{line}\n{status}"));
    }

    fn draw(&mut self) {
        let status = self.status_line();
        self.write(&format!("{CLEAR}{status}"));
    }

    fn status_line(&self) -> String {
        let Some(status) = &self.status else { return String::new() };
        // The last column stays free.
        let width = (self.columns)().map_or(WIDTH, |columns| columns.saturating_sub(1).min(WIDTH));
        // Back at its start, where the `^C` of a terminal makes it no longer.
        format!("{NO_WRAP}{}{WRAP}\r", cut(status.text(Instant::now()), width))
    }

    /// In one piece, so that a process that is killed leaves no terminal half-way.
    fn write(&mut self, text: &str) {
        if !self.broken {
            self.broken = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush()).is_err();
        }
    }
}

/// A text that is too long ends in `…`.
fn cut(text: String, width: usize) -> String {
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        // It has nothing to say, and only ends early where it panicked.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            head: "> 2/3  Start".to_owned(),
            since: Instant::now(),
            run_since: Instant::now(),
            percentage: 49.9,
            eta: None,
            wait: None,
            news: "up".to_owned(),
        }
    }

    fn text(status: &Status, seconds: u64) -> String {
        status.text(status.since + Duration::from_secs(seconds))
    }

    #[test]
    fn it_tells_the_step_the_run_and_the_news() {
        let status = Status { eta: Some((Instant::now(), Duration::from_secs(5))), ..status() };
        let told = text(&status, 2);
        assert!(told.starts_with("> 2/3  Start      2.0 s  49 %, 2.0 s so far, about 3.0 s left; up"), "{told}");
        assert!(text(&status, 6).ends_with("49 %, 6.0 s so far; up"), "an estimate that is over is none");
    }

    #[test]
    fn it_counts_down_to_the_next_attempt() {
        let begun = status();
        let wait = Some((begun.since + Duration::from_secs(4), "attempt 2 of 3: refused".to_owned()));
        let status = Status { wait, ..begun };
        assert_eq!(text(&status, 1), "> 2/3  Start      1.0 s  49 %, in 3.0 s attempt 2 of 3: refused");
        assert_eq!(text(&status, 9), "> 2/3  Start      9.0 s  49 %, in 0.0 s attempt 2 of 3: refused");
    }

    #[test]
    fn it_is_no_longer_than_a_line() {
        let long = cut("ä".repeat(80), WIDTH);
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (79, true));
        assert_eq!(cut("ä".repeat(79), WIDTH), "ä".repeat(79));
    }

    #[test]
    fn lines_stay_above_it_and_without_a_terminal_there_is_none() {
        let (writer, status) = (Vec::new(), Some(status()));
        let mut sheet = Sheet { writer, is_live: true, columns: || Some(14), status, broken: false };
        sheet.line("done");
        sheet.status = None;
        sheet.draw();
        let written = String::from_utf8(sheet.writer).unwrap_or_default();
        assert!(written.starts_with("\r\x1b[Kdone\n\x1b[?7l> 2/3  Start…\x1b[?7h\r"), "{written:?}");
        assert!(written.ends_with("\x1b[?7h\r\r\x1b[K"), "{written:?}");
        let page = Page::new(Vec::new());
        page.change(|live| *live = Some(self::status()));
        page.line("done");
        page.with(|sheet| assert_eq!(sheet.writer, b"done\n"));
    }
}
