//! `--crash-at STEP[:WHEN]`: the process dies as by `kill -9`, at a moment that the journal knows.
//!
//! All that a run does passes through its journal, in order: a journal that kills its process is the one place from which
//! each moment between two steps, and within one, can be met exactly.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::builder::PossibleValue;
use step_machine::event::{Event, Kind};
use step_machine::journal::{Append, Claim, Claimed, Lease, Reply, RunQuery, RunSummary};
use step_machine::{Journal, Plan, RunId};

use super::keep::go_on;
use super::{complain, over_live_lines};

/// Dies when so many events are kept. For tests, which meet every moment by it.
const AFTER_EVENTS: &str = "STEP_MACHINE_CRASH_AFTER_EVENTS";

/// Where a process dies.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    /// The step, after those that its workflow is nested in.
    path: String,
    moment: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    During,
    After,
    Undo,
}

/// What a process dies of.
#[derive(Debug, Clone)]
pub(super) enum Crash {
    At(CrashPoint),
    AfterEvents(usize),
}

impl Crash {
    /// As the command line or a test says.
    pub(super) fn of(point: Option<&CrashPoint>) -> Option<Self> {
        let count = || std::env::var(AFTER_EVENTS).ok()?.parse().ok().map(Self::AfterEvents);
        point.cloned().map(Self::At).or_else(count)
    }
}

/// The ids of the steps of a plan, those of nested workflows after that of their step.
pub fn step_paths(plan: &Plan) -> Vec<PossibleValue> {
    paths(plan, "")
}

/// A step with another workflow in it fails where that does.
fn paths(plan: &Plan, prefix: &str) -> Vec<PossibleValue> {
    let step = |step: &step_machine::StepInfo| {
        let path = format!("{prefix}{}", step.id);
        match &step.nested {
            Some(nested) => paths(nested, &format!("{path}/")),
            // What more there is to say of a step has no room here.
            None => vec![PossibleValue::new(path).help(step.description.lines().next().unwrap_or_default().to_owned())],
        }
    };
    plan.steps.iter().flat_map(step).collect()
}

/// Where `step` of `run` is in the run that it is a part of, as a command line names it.
pub fn step_path(whole: &str, run: &str, step: &str) -> Option<String> {
    let nested = run.strip_prefix(whole)?;
    // The id of a nested run names its step and its workflow in turn.
    let steps = nested.split('/').skip(1).step_by(2).chain([step]);
    Some(steps.collect::<Vec<_>>().join("/"))
}

/// Takes `STEP[:WHEN]`, and lists the steps where it is given another one.
pub fn crash_point(
    paths: Vec<PossibleValue>,
) -> impl Fn(&str) -> Result<CrashPoint, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (path, moment) = text.split_once(':').unwrap_or((text, "after"));
        let moment = match moment {
            "before" => Moment::Before,
            "during" => Moment::During,
            "after" => Moment::After,
            "undo" => Moment::Undo,
            _ => return Err("after the step comes `:before`, `:during`, `:after` or `:undo`".to_owned()),
        };
        let ids: Vec<&str> = paths.iter().map(PossibleValue::get_name).collect();
        if ids.contains(&path) {
            return Ok(CrashPoint { path: path.to_owned(), moment });
        }
        Err(format!("there is no such step\n  [possible values: {}]", ids.join(", ")))
    }
}

impl CrashPoint {
    /// How many of `events` are kept before the process dies, if it does.
    fn reached(&self, whole: &RunId, run: &RunId, events: &[Event]) -> Option<usize> {
        events.iter().enumerate().find_map(|(index, event)| {
            let path = step_path(&whole.to_string(), &run.to_string(), event.step()?)?;
            let kept = match (&event.kind, self.moment) {
                (Kind::StepStart(_), Moment::Before) => index + 1,
                (kind, Moment::During) if is_news(kind) => index + 1,
                // One that tells nothing on its way.
                (Kind::StepEnd(_), Moment::During | Moment::After) | (Kind::UndoEnd(_), Moment::Undo) => index,
                _ => return None,
            };
            (path == self.path).then_some(kept)
        })
    }
}

pub(super) fn is_news(kind: &Kind) -> bool {
    matches!(kind, Kind::StepUpdate(_) | Kind::Stdout(_) | Kind::Stderr(_) | Kind::TaskStart(_))
}

/// A journal that kills its process.
pub(super) struct Doomed<J> {
    journal: J,
    crash: Crash,
    /// What a person types to go on, where that is possible.
    again: Option<String>,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    /// The run that all others are nested in.
    whole: Option<RunId>,
    events: usize,
}

impl<J: Journal> Doomed<J> {
    pub(super) fn new(journal: J, crash: Crash, again: Option<String>) -> Self {
        Self { journal, crash, again, so_far: Mutex::default() }
    }

    /// How many of the events are kept before the process dies, if it does.
    fn reached(&self, append: &Append<'_>) -> Option<usize> {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = so_far.whole.get_or_insert_with(|| append.lease.run.clone()).clone();
        let before = so_far.events;
        so_far.events += append.events.len();
        match &self.crash {
            Crash::At(point) => point.reached(&whole, &append.lease.run, append.events),
            Crash::AfterEvents(count) => (so_far.events >= *count).then(|| count.saturating_sub(before)),
        }
    }

    fn last_words(&self) {
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Crash::At(point), Some(run)) = (&self.crash, &so_far.whole) {
            let cannot = || "nothing of it was kept, so it cannot go on".to_owned();
            let way_on =
                self.again.as_ref().map_or_else(cannot, |again| format!("go on with it: {}", go_on(again, run)));
            let_the_screen_catch_up();
            complain(&format!("{}died at {}; {way_on}", over_live_lines(), point.path));
        }
    }
}

impl<J: Journal> Journal for Doomed<J> {
    fn claim(&self, claim: &Claim) -> Reply<Claimed> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).whole.get_or_insert_with(|| claim.run.clone());
        self.journal.claim(claim)
    }

    fn append(&self, append: Append<'_>) -> Reply<()> {
        let Some(kept) = self.reached(&append) else { return self.journal.append(append) };
        if kept > 0 {
            // Kept or not: what comes then is the same.
            let _ = self.journal.append(Append::new(append.lease, &append.events[..kept])).wait();
        }
        self.last_words();
        die()
    }

    fn release(&self, lease: &Lease) -> Reply<()> {
        self.journal.release(lease)
    }

    fn load(&self, run: &RunId) -> Reply<Vec<Event>> {
        self.journal.load(run)
    }

    fn list(&self, query: &RunQuery) -> Reply<Vec<RunSummary>> {
        self.journal.list(query)
    }

    fn abandon(&self, run: &RunId, why: &str) -> Reply<()> {
        self.journal.abandon(run, why)
    }

    fn prune(&self, before: SystemTime) -> Reply<usize> {
        self.journal.prune(before)
    }
}

/// The steps that completed at last are drawn with what else is new, ten times a second: a process that dies before shows
/// none of them.
fn let_the_screen_catch_up() {
    if io::stderr().is_terminal() {
        thread::sleep(Duration::from_millis(250));
    }
}

/// Ends the process as nothing can that could still tidy up.
fn die() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
