//! The one writer of a run: stamps what happens, makes it durable, folds it, tells the observers.

mod forecast;
#[cfg(feature = "runner")]
mod heard;
mod keep;
mod news;
mod thin;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use self::forecast::Forecast;
pub(crate) use self::thin::Pace;
use self::thin::Thinner;
use crate::book::Book;
use crate::event::{EVENT_VERSION, Event, FailureRecord, Kind, Progress, RunEnd, RunStatus};
use crate::failure;
use crate::journal::{Journal, JournalError};
use crate::observe::{ObserverFault, Observers, Scopes};
#[cfg(feature = "resources")]
use crate::resources::Meter;
use crate::run_id::RunId;
use crate::secret::{self, Secrecy};
use crate::state::{RunState, Stamp};
use crate::sync::lock;
use crate::time::{Clock, SystemClock, nanos, timestamp};

/// What a run is watched and kept by.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) observers: Observers,
    pub(crate) secrecy: Secrecy,
    /// How often fractions become events, where that was said.
    pub(crate) pace: Option<Pace>,
    /// Whether it is measured what the steps take.
    #[cfg(feature = "resources")]
    pub(crate) is_measured: bool,
    // Boxed, as few runs have one.
    pub(crate) forecast: Option<Box<Forecast>>,
}

impl Watch {
    pub(crate) fn wall(&self) -> SystemTime {
        timestamp(self.clock.as_deref().unwrap_or(&SystemClock).wall())
    }

    /// Whether nobody needs events: then none is built.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.journal.is_none() && self.observers.is_empty()
    }
}

#[inline]
fn instant(clock: Option<&dyn Clock>) -> Instant {
    match clock {
        None => Instant::now(),
        Some(clock) => clock.instant(),
    }
}

/// A run under way.
pub(crate) struct Recorder {
    state: RunState,
    clock: Option<Arc<dyn Clock>>,
    observers: Observers,
    secrecy: Secrecy,
    // Both boxed: most runs have no forecast, and a run in memory has no book.
    forecast: Option<Box<Forecast>>,
    book: Option<Box<Book>>,
    /// Whoever drives the run waits for the journal himself, where it matters.
    is_deferred: bool,
    has_begun: bool,
    /// Where `elapsed` of the state was when this process took the run on, and the instant of that.
    base: u64,
    origin: Instant,
    fault: Fault,
    /// No journal, nothing is measured or may be held back, and nothing has failed: then the usual transitions take the
    /// short way.
    is_short: bool,
    pace: Pace,
    // Boxed and made when a body first tells a fraction, as most never do.
    thinner: Option<Box<Thinner>>,
    /// When something was last heard of each step, where somebody listens for silence.
    #[cfg(feature = "runner")]
    heard: Option<Box<[tokio::time::Instant]>>,
    // Boxed, as few runs have any.
    family: Option<Box<Family>>,
    #[cfg(feature = "resources")]
    meter: Option<Box<Meter>>,
}

/// The last states of nested runs, also of those that are nested in nested ones: the outermost run outlives them all.
pub(crate) type Nested = Arc<Mutex<HashMap<RunId, RunState>>>;

/// The runs that are nested in this one, and whether it is nested itself.
#[derive(Default)]
struct Family {
    is_nested: bool,
    nested: Nested,
}

/// Whether the journal still follows.
enum Fault {
    None,
    /// It failed; nobody was told yet.
    Untold(Box<JournalError>),
    /// It failed and the user was told.
    Told,
}

impl Recorder {
    /// Goes on from `state`; where there is a journal, by the book for it. On the heap from the start, as it moves
    /// several times.
    #[inline]
    pub(crate) fn new(state: RunState, watch: Watch, wall: SystemTime, book: Option<Book>) -> Box<Self> {
        let since = wall.duration_since(state.started_at()).unwrap_or(Duration::ZERO);
        #[cfg(feature = "resources")]
        let meter = watch.is_measured.then(Box::<Meter>::default);
        let Watch { clock, observers, secrecy, pace, forecast, .. } = watch;
        let book = book.map(Box::new);
        Box::new(Self {
            base: nanos(since.max(state.elapsed())),
            origin: instant(clock.as_deref()),
            #[cfg(feature = "resources")]
            is_short: book.is_none() && meter.is_none(),
            #[cfg(not(feature = "resources"))]
            is_short: book.is_none(),
            state,
            clock,
            observers,
            secrecy,
            forecast,
            book,
            is_deferred: false,
            has_begun: true,
            fault: Fault::None,
            pace: pace.unwrap_or_default(),
            thinner: None,
            #[cfg(feature = "runner")]
            heard: None,
            family: None,
            #[cfg(feature = "resources")]
            meter,
        })
    }

    /// Whether nobody needs events: then none is built.
    #[inline]
    fn is_idle(&self) -> bool {
        self.book.is_none() && self.observers.is_empty()
    }

    /// What takes the place of a writer that moves elsewhere, until its place is gone: it writes to nobody.
    pub(crate) fn stand_in(&self) -> Box<Self> {
        let state = RunState::new(self.state.run().clone(), self.state.shared_plan().clone(), self.state.started_at());
        Self::new(state, Watch::default(), self.state.started_at(), None)
    }

    #[inline]
    pub(crate) fn state(&self) -> &RunState {
        &self.state
    }

    /// The time since the run's start: one reading of the clock.
    #[inline]
    pub(crate) fn elapsed(&self) -> u64 {
        self.base.saturating_add(nanos(instant(self.clock.as_deref()).saturating_duration_since(self.origin)))
    }

    /// The clock that the run was given, if it was.
    #[cfg(feature = "runner")]
    pub(crate) fn own_clock(&self) -> Option<Arc<dyn Clock>> {
        self.clock.clone()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock))
    }

    /// Whether the journal failed: then nothing is recorded any more and no body may run.
    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        !matches!(self.fault, Fault::None)
    }

    /// Begins the first attempt at a step the short way; the time where an event has to decide.
    #[inline]
    pub(crate) fn start_plainly(&mut self, index: usize) -> Result<(), u64> {
        let now = self.elapsed();
        if self.is_short && self.state.start_plainly(index, now) { Ok(()) } else { Err(now) }
    }

    /// Completes a step without an output the short way; the time where an event has to decide.
    #[inline]
    pub(crate) fn complete_plainly(&mut self, index: usize) -> Result<(), u64> {
        let now = self.elapsed();
        if self.is_short && self.state.complete_plainly(index, now) { Ok(()) } else { Err(now) }
    }

    /// Completes the run; `false` where the journal has failed.
    pub(crate) fn finish(&mut self) -> bool {
        let now = self.elapsed();
        if self.is_short && self.state.finish_plainly(now) {
            self.tell(|state| {
                let (status, warnings) = (RunStatus::Completed, state.warnings());
                Kind::RunEnd(Box::new(RunEnd { status, reason: None, warnings, failure: None }))
            });
            self.hand_over();
            return true;
        }
        self.end_at(now, RunEnd { status: RunStatus::Completed, reason: None, warnings: 0, failure: None })
    }

    /// Shows the observers what a short way did, where there are any.
    #[inline]
    pub(crate) fn tell(&mut self, kind: impl FnOnce(&RunState) -> Kind) {
        if !self.observers.is_empty() {
            let event = self.event(self.state.last_stamp(), kind(&self.state));
            self.observers.notify(&event);
        }
    }

    /// Records what happens now; see [`record_at`](Self::record_at).
    pub(crate) fn record(&mut self, kind: Kind) -> bool {
        let elapsed = self.elapsed();
        self.record_at(elapsed, kind)
    }

    /// Records what happened `elapsed` after the run's start. `false` where the journal has failed, now or before.
    pub(crate) fn record_at(&mut self, elapsed: u64, kind: Kind) -> bool {
        if self.thinner.is_some() {
            self.tell_held(elapsed, &kind);
        }
        if self.is_broken() {
            return false;
        }
        let stamp = self.state.next_stamp(elapsed);
        if !self.is_idle() {
            return self.record_watched(stamp, kind);
        }
        match self.state.check(stamp, &kind) {
            Ok(target) => {
                self.state.commit(stamp, &kind, target);
                true
            }
            Err(source) => self.refuse(source),
        }
    }

    #[cold]
    fn refuse(&mut self, source: crate::state::Illegal) -> bool {
        self.break_off(JournalError::Refused { run: self.state.run().clone(), source: Box::new(source) });
        false
    }

    /// Durable first, then memory, then the observers.
    #[inline(never)]
    fn record_watched(&mut self, stamp: Stamp, mut kind: Kind) -> bool {
        let target = match self.state.check(stamp, &kind) {
            Ok(target) => target,
            Err(source) => return self.refuse(source),
        };
        let sealed = match self.seal(&kind) {
            Ok(sealed) => sealed,
            Err(error) => {
                self.break_off(error);
                return false;
            }
        };
        // An event carries the progress after it, so the state moves first; nobody sees it before the journal has it.
        let saved = self.book.as_ref().map(|_| self.state.save(target));
        self.state.commit(stamp, &kind, target);
        // From here on only the state knows what is secret.
        secret::withhold(&mut kind, sealed);
        let event = self.event(stamp, kind);
        match &mut self.book {
            Some(book) => book.add(event, saved),
            None => {
                self.observers.notify(&event);
                return true;
            }
        }
        self.is_deferred || self.flush()
    }

    /// What stands for a secret in the journal, where there is both.
    fn seal(&self, kind: &Kind) -> Result<Option<Box<str>>, JournalError> {
        if self.book.is_none() {
            return Ok(None);
        }
        self.secrecy.seal(self.state.run(), self.state.workflow(), kind)
    }

    #[inline]
    fn event(&mut self, stamp: Stamp, kind: Kind) -> Event {
        let elapsed = Duration::from_nanos(stamp.elapsed);
        let is_output = matches!(kind, Kind::Stdout(_) | Kind::Stderr(_));
        Event {
            v: EVENT_VERSION,
            run: self.state.run().clone(),
            workflow: self.state.workflow_text(),
            seq: stamp.seq,
            at: self.state.time_at(stamp.elapsed),
            elapsed,
            kind,
            progress: (!is_output).then(|| self.progress()),
        }
    }

    #[inline]
    fn progress(&mut self) -> Progress {
        let mut progress = self.state.progress();
        if let Some(forecast) = &mut self.forecast {
            forecast.refine(&self.state, &mut progress);
        }
        progress
    }

    /// Records the first event of a run, whose state is there already.
    pub(crate) fn announce(&mut self, start: crate::event::RunStart) -> Result<(), JournalError> {
        self.state.describe(&start);
        if self.is_idle() {
            return Ok(());
        }
        let first = Stamp { seq: 1, elapsed: 0 };
        let event = self.event(first, Kind::RunStart(Box::new(start)));
        match &mut self.book {
            None => self.observers.notify(&event),
            Some(book) => {
                // Without it there is no run to go back to.
                book.add(event, None);
                if !self.is_deferred {
                    self.flush();
                }
            }
        }
        self.take_fault().map_or(Ok(()), Err)
    }

    /// Ends the run.
    pub(crate) fn end(&mut self, status: RunStatus, failure: Option<FailureRecord>) -> bool {
        self.end_at(self.elapsed(), RunEnd { status, reason: None, warnings: 0, failure })
    }

    /// Ends a run that was to go only so far.
    #[cfg(feature = "runner")]
    pub(crate) fn end_early(&mut self) -> bool {
        let reason = Some(crate::event::Reason::Requested);
        self.end_at(self.elapsed(), RunEnd { status: RunStatus::Cancelled, reason, warnings: 0, failure: None })
    }

    fn end_at(&mut self, elapsed: u64, mut end: RunEnd) -> bool {
        end.warnings = self.state.warnings();
        let has_ended = self.record_at(elapsed, Kind::RunEnd(Box::new(end)));
        self.hand_over();
        has_ended
    }

    /// Leaves the state of a nested run that ended with the run that it is nested in.
    #[inline]
    fn hand_over(&self) {
        if let Some(family) = self.family.as_ref().filter(|family| family.is_nested) {
            lock(&family.nested).insert(self.state.run().clone(), self.state.clone());
        }
    }

    /// Makes this the writer of a nested run, whose last state is kept in `nested`.
    #[cfg(feature = "runner")]
    pub(crate) fn nest(&mut self, nested: Nested) {
        self.family = Some(Box::new(Family { is_nested: true, nested }));
    }

    /// Where the last states of nested runs are kept.
    #[cfg(feature = "runner")]
    pub(crate) fn nested(&mut self) -> Nested {
        self.family.get_or_insert_default().nested.clone()
    }

    /// Shows the observers what happens in a run that is nested in a step.
    #[cfg(feature = "runner")]
    pub(crate) fn relay(&mut self, event: &Event) {
        self.observers.show(event);
    }

    /// What the observers want the body to run inside of that begins in a run that is nested in a step.
    #[cfg(feature = "runner")]
    pub(crate) fn relay_scopes(&mut self, start: &Event) -> Option<Scopes> {
        self.observers.scopes_of(start)
    }

    /// Whether anybody sees the run.
    #[cfg(feature = "runner")]
    pub(crate) fn is_observed(&self) -> bool {
        !self.observers.is_empty()
    }

    /// Whether the observers want something around a body that is about to run.
    #[inline]
    pub(crate) fn has_scopes(&self) -> bool {
        self.observers.has_scopes()
    }

    /// What the observers want the body of a step to run inside of that has just begun.
    pub(crate) fn take_scopes(&mut self, index: usize) -> Option<Scopes> {
        self.observers.take_scopes(self.state.plan(), index)
    }

    #[cfg(feature = "runner")]
    pub(crate) fn journal(&self) -> Option<Arc<dyn Journal>> {
        self.book.as_ref().map(|book| book.journal().clone())
    }

    /// The right to write to the run, while it is held.
    #[cfg(feature = "runner")]
    pub(crate) fn lease(&self) -> Option<crate::journal::Lease> {
        self.book.as_ref()?.lease().cloned()
    }

    #[cfg(feature = "runner")]
    pub(crate) fn secrecy(&self) -> &Secrecy {
        &self.secrecy
    }

    /// Ends a run that is left where it is: as failed where a step failed, as cancelled otherwise.
    pub(crate) fn close(&mut self) {
        if self.is_broken() || self.state.status() != RunStatus::Running {
            return;
        }
        let (status, failure) = (self.state.halted_status(), failure::halted(&self.state));
        self.end(status, Some(failure));
    }

    pub(crate) fn observer_faults(&self) -> Vec<ObserverFault> {
        self.observers.faults()
    }

    /// Lets go of the journal and the observers of a run that is over, and tells what the observers did.
    pub(crate) fn release(&mut self) -> Vec<ObserverFault> {
        if self.is_idle() {
            return Vec::new();
        }
        let faults = self.observers.faults();
        self.observers = Observers::default();
        self.book = None;
        self.forecast = None;
        faults
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.catch_up();
        self.abandon();
        self.close();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("run", self.state.run())
            .field("status", &self.state.status())
            .field("elapsed", &self.state.elapsed())
            .finish_non_exhaustive()
    }
}
