//! What the rules are told with.

use std::fmt::{Debug, Display};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use crate::event::{Event, ReadError, ReadErrorKind};
use crate::journal::{Append, Claim, Claimed, Journal, JournalError, Lease, Reply, RunQuery, RunSummary, Waiting};
use crate::sync::lock;

/// How a rule was broken.
pub(super) struct Broken(pub(super) String);

pub(super) type Outcome = Result<(), Broken>;

impl From<JournalError> for Broken {
    fn from(error: JournalError) -> Self {
        Self(format!("unexpectedly: {error}"))
    }
}

impl From<ReadErrorKind> for Broken {
    fn from(error: ReadErrorKind) -> Self {
        Self(format!("an event of the rule itself: {error}"))
    }
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        error.kind.into()
    }
}

pub(super) fn ensure(holds: bool, otherwise: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(Broken(otherwise.to_string())) }
}

pub(super) fn equal<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    ensure(found == expected, format_args!("{what}: {found:?} instead of {expected:?}"))
}

/// That something is refused, in a certain way.
pub(super) fn refused<T>(what: &str, result: Result<T, JournalError>, how: fn(&JournalError) -> bool) -> Outcome {
    match result {
        Ok(_) => Err(Broken(format!("{what}: not refused"))),
        Err(error) => ensure(how(&error), format_args!("{what}: refused, but so: {error:?}")),
    }
}

pub(super) const START: &str = r#""type":"run_start","plan":{"workflow":"w","steps":[{"id":"a","name":"A"}]}"#;
pub(super) const STEP: &str = r#""type":"step_start","step":"a","attempt":1"#;
pub(super) const NEWS: &str = r#""type":"step_update","step":"a","message":"news""#;

/// An event of a run with this number, that many seconds after the beginning of 2026.
pub(super) fn event(run: &str, seq: u64, fields: &str) -> Result<Event, Broken> {
    event_at(run, seq, seq, fields)
}

pub(super) fn event_at(run: &str, seq: u64, second: u64, fields: &str) -> Result<Event, Broken> {
    let at = humantime::format_rfc3339_micros(moment(second));
    let header = format!(r#""v":1,"run":"{run}","workflow":"w","seq":{seq},"at":"{at}","elapsed_ms":1.5"#);
    Ok(Event::from_json(&format!("{{{header},{fields}}}"))?)
}

/// That many seconds after the beginning of 2026.
pub(super) fn moment(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + second)
}

/// The first events of a run: how it starts, the start of its step, then news.
pub(super) fn events(run: &str, count: u64) -> Result<Vec<Event>, Broken> {
    let fields = |seq| match seq {
        1 => START,
        2 => STEP,
        _ => NEWS,
    };
    (1..=count).map(|seq| event(run, seq, fields(seq))).collect()
}

pub(super) fn claim(journal: &dyn Journal, run: &str) -> Result<Claimed, JournalError> {
    journal.claim(&Claim::of(run)).wait()
}

pub(super) fn lease(journal: &dyn Journal, run: &str) -> Result<Lease, Broken> {
    Ok(claim(journal, run)?.lease)
}

pub(super) fn exclusive(run: &str, names: &[&str], take_over: bool) -> Claim {
    let exclusive = names.iter().map(|name| (*name).to_owned()).collect();
    Claim { exclusive, take_over, ..Claim::of(run) }
}

pub(super) fn append(journal: &dyn Journal, lease: &Lease, events: &[Event]) -> Result<(), JournalError> {
    journal.append(Append::new(lease, events)).wait()
}

/// Appends, and gives the run back with it.
pub(super) fn append_last(journal: &dyn Journal, lease: &Lease, events: &[Event]) -> Result<(), JournalError> {
    journal.append(Append { release: true, ..Append::new(lease, events) }).wait()
}

/// Asks for something that nobody waits for.
pub(super) fn append_news(journal: &dyn Journal, lease: &Lease, events: &[Event]) {
    drop(journal.append(Append { waiting: Waiting::Nobody, ..Append::new(lease, events) }));
}

/// That the journal has just these events of a run.
pub(super) fn kept(journal: &dyn Journal, run: &str, expected: &[Event]) -> Outcome {
    equal("events", &journal.load(&run.into()).wait()?, &expected.to_vec())
}

/// The ids of the runs that a query finds, in their order.
pub(super) fn found(journal: &dyn Journal, query: &RunQuery) -> Result<Vec<String>, Broken> {
    Ok(journal.list(query).wait()?.iter().map(|summary| summary.run.to_string()).collect())
}

/// What the list says of a run.
pub(super) fn summary(journal: &dyn Journal, run: &str) -> Result<RunSummary, Broken> {
    let mut found = journal.list(&RunQuery::of(run)).wait()?;
    found.pop().ok_or_else(|| Broken(format!("run {run} is not in the list")))
}

/// A run with this end and these fields in its first event, given back.
pub(super) fn settled(journal: &dyn Journal, run: &str, second: u64, more: &str, end: Option<&str>) -> Outcome {
    let mut events = vec![event_at(run, 1, second, &format!("{START}{more}"))?];
    if let Some(status) = end {
        let failure = if status == "failed" { failure(run) } else { String::new() };
        events.push(event_at(run, 2, second, &format!(r#""type":"run_end","status":"{status}"{failure}"#))?);
    }
    append_last(journal, &lease(journal, run)?, &events)?;
    Ok(())
}

/// The field of a `run_end` that says why.
pub(super) fn failure(run: &str) -> String {
    let times =
        ["started_at", "step_started_at", "failed_at"].map(|name| format!(r#""{name}":"2026-01-01T00:00:00Z""#));
    format!(
        r#","failure":{{"run":"{run}","workflow":"w","step_number":0,"total_steps":1,"attempt":0,
        "error":{{"kind":"k","message":"it broke"}},{},"run_ms":1.0,"step_ms":1.0,"steps":[]}}"#,
        times.join(",")
    )
}

/// Waits for a reply as a task does, on this thread.
pub(super) fn awaited<T>(mut reply: Reply<T>) -> Result<T, JournalError> {
    #[derive(Default)]
    struct Bell {
        has_rung: Mutex<bool>,
        rings: Condvar,
    }
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            *lock(&self.has_rung) = true;
            self.rings.notify_all();
        }
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    loop {
        if let Poll::Ready(answer) = std::pin::Pin::new(&mut reply).poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        let mut has_rung = lock(&bell.has_rung);
        while !*has_rung {
            has_rung = bell.rings.wait(has_rung).unwrap_or_else(PoisonError::into_inner);
        }
        *has_rung = false;
    }
}
