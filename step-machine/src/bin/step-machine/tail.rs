//! `step-machine tail`: follows a run, whoever drives it.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use step_machine::event::{Event, Level, RunStatus};
use step_machine::journal::{Abandoned, RunQuery, RunSummary};
use step_machine::observe::PlainText;

use super::args::{Place, Tail};
use super::store::Store;
use super::text::{one_line, span, time};
use super::trouble::{CANCELLED, FAILED, OK, Outcome, Trouble};

/// How often the journal is asked: at first, and after a silence.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(1);

/// After so long it is said that nothing happens.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(place: &Place, options: &Tail, out: &mut dyn Write) -> Outcome {
    let store = Store::to_read(place)?;
    let mut summary = store.find(&options.run)?;
    let mut teller = Teller::new(options.json, out);
    let events = store.load(&summary.run)?;
    // Of a run that is over nothing is to come.
    if !options.from_start && !is_over(&summary) {
        teller.pass(&events);
    }
    teller.tell(&events)?;
    let (mut heard, mut looked) = (Heard::new(), Instant::now());
    while !is_over(&summary) {
        sleep(heard.pause());
        let found = look(&store, &summary)?;
        if (found.updated_at, found.status) == (summary.updated_at, summary.status) && found.abandoned.is_none() {
            // That a step has stalled is told without being news of the run.
            if looked.elapsed() >= SELDOM {
                teller.tell(&store.load(&found.run)?)?;
                looked = Instant::now();
            }
            heard.nothing(&found);
            continue;
        }
        teller.tell(&store.load(&found.run)?)?;
        (heard, looked) = (Heard::new(), Instant::now());
        summary = found;
    }
    if let Some(abandoned) = &summary.abandoned {
        // No event says so, and where there are only events to read nothing else is to stand between them.
        let _ = writeln!(std::io::stderr(), "step-machine: {}", given_up(&summary, abandoned));
    }
    Ok(code(&summary))
}

fn is_over(summary: &RunSummary) -> bool {
    summary.status.has_ended() || summary.abandoned.is_some()
}

fn look(store: &Store, summary: &RunSummary) -> Result<RunSummary, Trouble> {
    let found = store.list(&RunQuery::of(&summary.run))?.pop();
    found.ok_or_else(|| Trouble::NoRun(summary.run.to_string()))
}

fn given_up(summary: &RunSummary, abandoned: &Abandoned) -> String {
    let (run, at, why) = (&summary.run, time(abandoned.at.max(SystemTime::UNIX_EPOCH)), one_line(&abandoned.why));
    format!("run {run} was abandoned at {at}, and nobody goes on with it: {why}")
}

fn code(summary: &RunSummary) -> u8 {
    match summary.status {
        RunStatus::Completed => OK,
        RunStatus::Cancelled if summary.abandoned.is_none() => CANCELLED,
        _ => FAILED,
    }
}

struct Teller<'a> {
    text: Option<PlainText>,
    /// How many events it knows.
    known: usize,
    out: &'a mut dyn Write,
}

impl<'a> Teller<'a> {
    fn new(is_json: bool, out: &'a mut dyn Write) -> Self {
        let text = (!is_json).then(|| PlainText::new().level(Level::Debug).at_once());
        Self { text, known: 0, out }
    }

    /// Takes in what is told to nobody: later lines rest on it.
    fn pass(&mut self, events: &[Event]) {
        if let Some(text) = &mut self.text {
            for event in events {
                text.lines(event);
            }
        }
        self.known = events.len();
    }

    /// Tells of what is new.
    fn tell(&mut self, events: &[Event]) -> Result<(), Trouble> {
        let news = events.get(self.known..).unwrap_or_default();
        for event in news {
            match &mut self.text {
                Some(text) => {
                    for line in text.lines(event) {
                        writeln!(self.out, "{:>10}  {line}", span(event.elapsed))?;
                    }
                }
                None => {
                    serde_json::to_writer(&mut *self.out, event)?;
                    writeln!(self.out)?;
                }
            }
        }
        self.known = events.len();
        self.out.flush()?;
        Ok(())
    }
}

/// How long nothing was heard.
struct Heard {
    last: Instant,
    is_said: bool,
}

impl Heard {
    fn new() -> Self {
        Self { last: Instant::now(), is_said: false }
    }

    fn pause(&self) -> Duration {
        (self.last.elapsed() / 10).clamp(OFTEN, SELDOM)
    }

    /// Says once that there is a silence, and whom to ask.
    fn nothing(&mut self, summary: &RunSummary) {
        if self.is_said || self.last.elapsed() < SILENCE {
            return;
        }
        self.is_said = true;
        // Nobody has to hear it.
        let _ = writeln!(std::io::stderr(), "step-machine: {}", silence(summary));
    }
}

fn silence(summary: &RunSummary) -> String {
    let by = match &summary.owner {
        Some(owner) => format!(
            "if {owner} lives, wait for it or stop it; if it is gone, resume the run, or give it up with `abandon`"
        ),
        None => "nobody drives it; resume it, or give it up with `abandon`".to_owned(),
    };
    let since = time(summary.updated_at.max(SystemTime::UNIX_EPOCH));
    format!("nothing was heard of the run since {since}; {by}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(owner: &Value) -> Result<RunSummary, serde_json::Error> {
        let (at, owner) = ("2026-01-01T00:00:00Z", owner.clone());
        serde_json::from_value(json!({
            "run": "web", "workflow": "release", "status": "running", "percentage": 20.0, "labels": {}, "metadata": {},
            "started_at": at, "updated_at": at, "owner": owner,
        }))
    }

    #[test]
    fn a_silence_says_what_to_do() -> Result<(), serde_json::Error> {
        let owner = json!({ "id": "o", "host": "vm", "pid": 7, "since": "2026-01-01T00:00:00Z" });
        assert_eq!(
            silence(&run(&owner)?),
            "nothing was heard of the run since 2026-01-01T00:00:00Z; if process 7 on vm (since 2026-01-01T00:00:00Z) \
             lives, wait for it or stop it; if it is gone, resume the run, or give it up with `abandon`"
        );
        assert_eq!(
            silence(&run(&Value::Null)?),
            "nothing was heard of the run since 2026-01-01T00:00:00Z; nobody drives it; resume it, or give it up with \
             `abandon`"
        );
        Ok(())
    }
}
