//! How a run begins, or goes on: what both drives ask for in the same words.

mod fork;
mod history;
#[cfg(feature = "runner")]
mod outer;
mod refusal;
mod setters;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "runner")]
pub(crate) use outer::Outer;
pub(crate) use setters::setters;

use self::refusal::{fits, is_going_back};

use crate::book::Book;
use crate::event::{Forked, Kind, Parent, RunResume, RunStart, RunStatus, StepRef};
use crate::journal::{Claim, Claiming, Journal, JournalError, Lease};
use crate::recorder::{Forecast, Recorder, Watch};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{Plan, SharedPlan, Workflow};

/// What a run is to be like.
#[derive(Default)]
pub(crate) struct Opening {
    pub(crate) id: Option<RunId>,
    pub(crate) start: Start,
    /// Whoever drives the run waits for the journal himself, where it matters.
    #[cfg(feature = "runner")]
    pub(crate) is_deferred: bool,
    pub(crate) watch: Watch,
    /// The journal is asked what earlier runs took.
    pub(crate) wants_forecast: bool,
    // Boxed, as it moves several times and most runs ask for nothing of it.
    more: Option<Box<More>>,
}

/// What few runs ask for.
#[derive(Default)]
pub(crate) struct More {
    pub(crate) exclusive: Vec<String>,
    pub(crate) take_over: bool,
    /// What of it runs again.
    pub(crate) again: Option<Again>,
    /// A new run takes over what this one settled before this step.
    pub(crate) fork: Option<(RunId, usize)>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) input: Option<Value>,
    pub(crate) parent: Option<Parent>,
    /// The run that this one is nested in, where both have a journal.
    #[cfg(feature = "runner")]
    pub(crate) outer: Option<Outer>,
    forked: Option<Forked>,
}

/// What runs again of a run that goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Again {
    /// This step, and what comes after it or needs it.
    From(usize),
    /// All of a nested run, since this attempt of the step that it is a part of is to do everything again.
    #[cfg(feature = "runner")]
    All { parent_attempt: u32 },
}

impl Again {
    fn steps(self, state: &RunState, plan: &Plan) -> Vec<StepRef> {
        match self {
            Self::From(step) => state.to_run_again(plan, step),
            #[cfg(feature = "runner")]
            Self::All { .. } => state.all_to_run_again(plan),
        }
    }

    fn parent_attempt(self) -> Option<u32> {
        match self {
            Self::From(_) => None,
            #[cfg(feature = "runner")]
            Self::All { parent_attempt } => Some(parent_attempt),
        }
    }
}

/// What is asked for by an id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// The run, whether the journal has it or not.
    #[default]
    Either,
    /// A new one.
    New,
    /// One that the journal has.
    Kept,
}

/// Which way a run that the journal has goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Only forward: a rollback that was cut off is refused.
    Forward,
    /// As it was left.
    #[cfg(feature = "runner")]
    AsLeft,
    /// Back in any case.
    Back,
}

/// What the journal has of a run.
#[derive(Default)]
pub(crate) struct Found {
    hold: Option<Hold>,
    pub(crate) state: Option<RunState>,
    /// The run that it is to be a copy of.
    source: Option<RunState>,
}

/// A run that is held, and given back where it cannot go on.
struct Hold {
    journal: Arc<dyn Journal>,
    lease: Option<Lease>,
    exclusive: Vec<String>,
}

impl Hold {
    /// For whoever gives it back later.
    fn let_go(mut self) -> Option<Book> {
        let lease = self.lease.take()?;
        Some(Book::new(self.journal.clone(), lease, std::mem::take(&mut self.exclusive)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            drop(self.journal.release(lease));
        }
    }
}

impl Opening {
    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    pub(crate) fn set_input(&mut self, input: impl Serialize) {
        self.more().input = Some(serde_json::to_value(input).unwrap_or_else(|error| Value::from(format!("<{error}>"))));
    }

    /// Asks the journal for a run of `plan`, and for the one that it is a copy of. Where nothing could seal a secret of
    /// the plan for it, it is not asked: a run that lives is not to be taken over for that, nor where it is refused
    /// anyway.
    pub(crate) async fn find(&mut self, plan: &Plan, way: Way) -> Result<Found, JournalError> {
        let Some(journal) = self.watch.journal.clone() else { return Ok(Found::default()) };
        let run = self.id.get_or_insert_with(|| RunId::generate(self.watch.wall())).clone();
        self.watch.secrecy.check(&run, plan)?;
        let mut claim = Claim::of(&run);
        if let Some(more) = &self.more {
            (claim.exclusive, claim.take_over) = (more.exclusive.clone(), more.take_over);
        }
        let refusal = if claim.take_over { self.refusal(&*journal, &run, plan, way).await.err() } else { None };
        claim.take_over &= refusal.is_none();
        let claimed = match (Claiming::new(journal.clone(), &claim).await, refusal) {
            (Err(JournalError::Owned { .. } | JournalError::Exclusive { .. }), Some(refusal)) => return Err(refusal),
            (claimed, _) => claimed,
        };
        #[cfg(feature = "runner")]
        let claimed = self.insist(&claim, claimed).await;
        let (claimed, exclusive) = (claimed?, claim.exclusive);
        let hold = Hold { journal: journal.clone(), lease: Some(claimed.lease), exclusive };
        #[cfg(feature = "runner")]
        self.check_outer().await?;
        // Whatever its secrets are sealed with.
        if self.start == Start::New && !claimed.events.is_empty() {
            return Err(JournalError::Exists { run });
        }
        let state = self.watch.secrecy.fold(&run, claimed.events, plan)?;
        let mut found = Found { hold: Some(hold), state, source: None };
        let fork = self.more.as_ref().and_then(|more| more.fork.as_ref());
        if let (None, Some((source, _))) = (&found.state, fork) {
            found.source = self.watch.secrecy.fold(source, journal.load(source).await?, plan)?;
        }
        Ok(found)
    }

    /// Begins a run of `plan`, or goes on with it where the journal has one under this id.
    pub(crate) fn open<W: Workflow>(
        mut self,
        found: Found,
        plan: SharedPlan,
        way: Way,
    ) -> Result<Box<Recorder>, JournalError> {
        if let (true, Some(journal)) = (self.wants_forecast, &self.watch.journal) {
            // Asked with the first event, so that a replay never does.
            self.watch.forecast = Some(Box::new(Forecast::of(history::ask(journal.clone(), plan.clone()))));
        }
        match (found.state, self.id.clone()) {
            (Some(_), Some(run)) if self.start == Start::New => Err(JournalError::Exists { run }),
            (None, run) if self.has_to_be_kept() => {
                let run = run.unwrap_or_else(|| RunId::generate(self.watch.wall()));
                Err(JournalError::NotFound { run })
            }
            (Some(state), _) => self.resume::<W>(state, plan, way, found.hold),
            (None, _) => match self.more.as_mut().and_then(|more| more.fork.take()) {
                Some((source, step)) => self.copy::<W>(source, found.source, step, plan, found.hold),
                None => self.start(plan, found.hold),
            },
        }
    }

    fn has_to_be_kept(&self) -> bool {
        self.start == Start::Kept || self.again().is_some()
    }

    fn again(&self) -> Option<Again> {
        self.more.as_ref()?.again
    }

    /// The labels as they may be read.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.more.iter().flat_map(|more| &more.labels).cloned().collect();
        self.watch.secrecy.redact_labels(&mut labels);
        labels
    }

    fn start(self, plan: SharedPlan, hold: Option<Hold>) -> Result<Box<Recorder>, JournalError> {
        let (mut recorder, start) = self.unannounced(plan, hold);
        match start {
            Some(start) => recorder.announce(start).map(|()| recorder),
            None => Ok(recorder),
        }
    }

    /// A new run, and what its first event says where anybody is told.
    fn unannounced(mut self, plan: SharedPlan, hold: Option<Hold>) -> (Box<Recorder>, Option<RunStart>) {
        let now = self.watch.wall();
        let run = self.id.take().unwrap_or_else(|| RunId::generate(now));
        let start = (!self.watch.is_idle() || self.more.is_some()).then(|| self.run_start(plan.clone()));
        (self.recorder(RunState::new(run, plan, now), now, hold), start)
    }

    fn run_start(&mut self, plan: SharedPlan) -> RunStart {
        let labels = self.labels();
        let More { mut input, parent, forked, .. } = *self.more.take().unwrap_or_default();
        if let Some(input) = &mut input {
            self.watch.secrecy.redact_value(input);
        }
        RunStart { plan, parent, forked, labels, input }
    }

    fn recorder(&mut self, state: RunState, now: SystemTime, hold: Option<Hold>) -> Box<Recorder> {
        #[cfg_attr(not(feature = "runner"), expect(unused_mut))]
        let mut recorder = Recorder::new(state, std::mem::take(&mut self.watch), now, hold.and_then(Hold::let_go));
        #[cfg(feature = "runner")]
        if self.is_deferred {
            recorder.defer();
        }
        recorder
    }

    /// Goes on where `state` is.
    fn resume<W: Workflow>(
        mut self,
        mut state: RunState,
        plan: SharedPlan,
        way: Way,
        hold: Option<Hold>,
    ) -> Result<Box<Recorder>, JournalError> {
        self.check(W::NAME, &state, &plan, way)?;
        let (run, status) = (state.run().clone(), state.status());
        let is_back = way == Way::Back;
        let asked = self.again();
        let again = asked.map(|again| again.steps(&state, &plan)).unwrap_or_default();
        let rollback = is_going_back(status) || is_back;
        let (is_other, is_recorded) = (*state.plan() != *plan, status.can_resume() || is_back || !again.is_empty());
        // Another plan is taken over with the event that tells of it, once, as whoever reads the journal does.
        if !is_other {
            state.take_same_plan(plan.clone());
        } else if !is_recorded {
            state.rebase(plan.clone());
        }
        // Completed is final: a step that is new since then could never run.
        if status == RunStatus::Completed
            && !is_back
            && again.is_empty()
            && state.steps().iter().any(|step| !step.status().is_settled())
        {
            return Err(JournalError::Over { run, status });
        }
        let now = self.watch.wall();
        let mut recorder = self.recorder(state, now, hold);
        if is_recorded {
            recorder.record(Kind::RunResume(RunResume {
                rollback,
                plan: Some(plan),
                again,
                parent_attempt: asked.and_then(Again::parent_attempt),
            }));
        }
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}
