//! How a run begins, or goes on: what both drives ask for in the same words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use crate::event::{Event, Kind, Parent, RunResume, RunStart, RunStatus};
use crate::journal::{Claim, Claimed, Journal, JournalError, Lease, Reply};
use crate::recorder::{Recorder, Watch};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{Plan, SharedPlan, Workflow};

/// What a run is to be like.
#[derive(Default)]
pub(crate) struct Opening {
    pub(crate) id: Option<RunId>,
    pub(crate) start: Start,
    pub(crate) exclusive: Vec<String>,
    pub(crate) take_over: bool,
    /// Whoever drives the run waits for the journal himself, where it matters.
    #[cfg(feature = "runner")]
    pub(crate) is_deferred: bool,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) input: Option<Value>,
    pub(crate) parent: Option<Parent>,
    pub(crate) watch: Watch,
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
    #[cfg(feature = "runner")]
    Back,
}

impl Way {
    fn is_back(self) -> bool {
        match self {
            Self::Forward => false,
            #[cfg(feature = "runner")]
            Self::AsLeft => false,
            #[cfg(feature = "runner")]
            Self::Back => true,
        }
    }
}

/// A run that is held, and given back where it cannot go on.
pub(crate) struct Hold {
    journal: Option<Arc<dyn Journal>>,
    lease: Option<Lease>,
}

impl Hold {
    /// The lease, for whoever gives it back later.
    fn let_go(mut self) -> Option<Lease> {
        self.lease.take()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let (Some(journal), Some(lease)) = (&self.journal, &self.lease) {
            drop(journal.release(lease));
        }
    }
}

impl Opening {
    pub(crate) fn set_input(&mut self, input: impl Serialize) {
        self.input = Some(serde_json::to_value(input).unwrap_or_else(|error| Value::from(format!("<{error}>"))));
    }

    /// Asks the journal for a run of `plan`; `None` where there is no journal. Where nothing could seal a secret of the
    /// plan for it, it is not asked: a run that lives is not to be taken over for that.
    pub(crate) fn claim(&mut self, plan: &Plan) -> Result<Option<Reply<Claimed>>, JournalError> {
        let Some(journal) = &self.watch.journal else { return Ok(None) };
        let run = self.id.get_or_insert_with(|| RunId::generate(self.watch.wall()));
        self.watch.secrecy.check(run, plan)?;
        let mut claim = Claim::of(&*run);
        (claim.exclusive, claim.take_over) = (std::mem::take(&mut self.exclusive), self.take_over);
        Ok(Some(journal.claim(&claim)))
    }

    /// Begins a run of `plan`, or goes on with it where the journal has one under this id.
    pub(crate) fn open<W: Workflow>(
        self,
        claimed: Option<Claimed>,
        plan: SharedPlan,
        way: Way,
    ) -> Result<Recorder, JournalError> {
        let Some(Claimed { lease, mut events }) = claimed else {
            return match (self.start, &self.id) {
                (Start::Kept, Some(run)) => Err(JournalError::NotFound { run: run.clone() }),
                _ => self.start(plan, None),
            };
        };
        let run = lease.run.clone();
        let hold = Hold { journal: self.watch.journal.clone(), lease: Some(lease) };
        // A run that is not to go on from here is told so, whatever its secrets are sealed with.
        if self.start != Start::New && events.first().is_some_and(|first| first.workflow == W::NAME) {
            self.watch.secrecy.open(&mut events)?;
        }
        let state = fold(&run, &events)?;
        match (state, self.start) {
            (Some(_), Start::New) => Err(JournalError::Exists { run }),
            (None, Start::Kept) => Err(JournalError::NotFound { run }),
            (Some(state), _) => self.resume::<W>(state, plan, way, Some(hold)),
            (None, _) => self.start(plan, Some(hold)),
        }
    }

    /// The labels as they may be read.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.iter().cloned().collect();
        self.watch.secrecy.redact_labels(&mut labels);
        labels
    }

    fn start(mut self, plan: SharedPlan, hold: Option<Hold>) -> Result<Recorder, JournalError> {
        let now = self.watch.wall();
        let run = self.id.take().unwrap_or_else(|| RunId::generate(now));
        let has_news =
            !self.watch.is_idle() || self.parent.is_some() || !self.labels.is_empty() || self.input.is_some();
        let (labels, mut input) = (self.labels(), self.input.take());
        if let Some(input) = &mut input {
            self.watch.secrecy.redact_value(input);
        }
        let mut recorder = self.recorder(RunState::new(run, plan.clone(), now), now, hold);
        if has_news {
            recorder.announce(RunStart { plan, parent: self.parent, labels, input })?;
        }
        Ok(recorder)
    }

    fn recorder(&mut self, state: RunState, now: SystemTime, hold: Option<Hold>) -> Recorder {
        #[cfg_attr(not(feature = "runner"), expect(unused_mut))]
        let mut recorder = Recorder::new(state, std::mem::take(&mut self.watch), now, hold.and_then(Hold::let_go));
        #[cfg(feature = "runner")]
        if self.is_deferred {
            recorder.defer();
        }
        recorder
    }

    /// Goes on where `state` is.
    pub(crate) fn resume<W: Workflow>(
        mut self,
        mut state: RunState,
        plan: SharedPlan,
        way: Way,
        hold: Option<Hold>,
    ) -> Result<Recorder, JournalError> {
        let run = state.run().clone();
        if state.workflow() != W::NAME {
            let (found, expected) = (state.workflow().to_owned(), W::NAME.to_owned());
            return Err(JournalError::OtherWorkflow { run, found, expected });
        }
        let changes = state.plan_changes(&plan);
        if !changes.is_empty() {
            return Err(JournalError::PlanChanged { run, changes });
        }
        let status = state.status();
        let was_going_back = matches!(status, RunStatus::RollingBack | RunStatus::Stuck);
        if status == RunStatus::RolledBack || (was_going_back && way == Way::Forward) {
            return Err(JournalError::Over { run, status });
        }
        let rollback = was_going_back || way.is_back();
        let (is_other, is_recorded) = (*state.plan() != *plan, status.can_resume() || way.is_back());
        // Another plan is taken over with the event that tells of it, once, as whoever reads the journal does.
        if !is_other {
            state.take_same_plan(plan.clone());
        } else if !is_recorded {
            state.rebase(plan.clone());
        }
        // Completed is final: a step that is new since then could never run.
        if status == RunStatus::Completed
            && !way.is_back()
            && state.steps().iter().any(|step| !step.status().is_settled())
        {
            return Err(JournalError::Over { run, status });
        }
        let now = self.watch.wall();
        let mut recorder = self.recorder(state, now, hold);
        if is_recorded {
            recorder.record(Kind::RunResume(RunResume { rollback, plan: is_other.then_some(plan) }));
        }
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}

/// Where a run stands by what its journal has.
pub(crate) fn fold(run: &RunId, events: &[Event]) -> Result<Option<RunState>, JournalError> {
    RunState::fold(events).map_err(|source| JournalError::Corrupt { run: run.clone(), source: Box::new(source) })
}

/// What both builders ask for in the same words.
macro_rules! setters {
    () => {
        /// Sets the id of the run, and goes on with it where the journal has one under this id. Without an id a new one
        /// is generated, and the run is a new one.
        pub fn id(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.id = Some(id.into());
            self
        }

        /// Begins a run of this id; fails with [`JournalError::Exists`](crate::JournalError::Exists) where the journal
        /// has it already.
        pub fn start(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.start = $crate::opening::Start::New;
            self.id(id)
        }

        /// Goes on with the run of this id; fails with [`JournalError::NotFound`](crate::JournalError::NotFound) where
        /// the journal does not have it.
        pub fn resume(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.start = $crate::opening::Start::Kept;
            self.id(id)
        }

        /// Goes on with the run of this id where the journal has it, and begins it otherwise: [`id`](Self::id) in other
        /// words.
        pub fn start_or_resume(self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.id(id)
        }

        /// Keeps everybody else from a thing of this name while the run is driven; may be called several times.
        ///
        /// A run that needs it fails with [`JournalError::Exclusive`](crate::JournalError::Exclusive) while another one
        /// of the same journal has it, and can have it as soon as that one ends or its process dies. Needs a
        /// [`journal`](Self::journal).
        pub fn exclusive(mut self, name: impl Into<String>) -> Self {
            self.opening.exclusive.push(name.into());
            self
        }

        /// Takes the run, and what it needs for itself, from whoever drives it and lives: what that process writes
        /// next is refused, and it stops. For one that hangs or was stopped; what its step is doing, it may still do.
        /// From a process that died a run is taken over in any case.
        pub fn take_over(mut self) -> Self {
            self.opening.take_over = true;
            self
        }

        /// Adds a label: who started the run, for which ticket, and the like.
        pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.opening.labels.push((key.into(), value.into()));
            self
        }

        /// Records what the run works on. A value that cannot be JSON is recorded as the error that says why.
        pub fn input(mut self, input: impl serde::Serialize) -> Self {
            self.opening.set_input(input);
            self
        }

        /// Keeps the run in `journal`: under an id that it has, the run goes on where it was.
        pub fn journal(mut self, journal: impl $crate::journal::Journal + 'static) -> Self {
            self.opening.watch.journal = Some(std::sync::Arc::new(journal));
            self
        }

        /// Seals what steps marked `secret` hand on with `codec`, before the journal has it, and opens it when the run
        /// goes on. A run that has such a step and a journal needs one, or fails with
        /// [`JournalError::NoCodec`](crate::JournalError::NoCodec) before it begins. Runs that are nested in this one
        /// have it too.
        pub fn codec(mut self, codec: impl $crate::journal::Codec + 'static) -> Self {
            self.opening.watch.secrecy.set_codec(codec);
            self
        }

        /// Records `[redacted]` in place of what stands under `key`, whatever its case, in labels, and at any depth in
        /// the input and in what steps tell machines by `metadata`; may be called several times. Runs that are nested
        /// in this one do the same.
        ///
        /// Neither journal, nor observers, nor the state of the run have the value then, and no run is found by such a
        /// label. Texts are not searched: messages, lines of output and errors are recorded as they are.
        pub fn redact(mut self, key: impl AsRef<str>) -> Self {
            self.opening.watch.secrecy.redact(key.as_ref());
            self
        }

        /// Shows the run's events to `observer`; may be called several times.
        pub fn observe(mut self, observer: impl $crate::observe::Observer + 'static) -> Self {
            self.opening.watch.observers.add(observer);
            self
        }

        /// Takes the times of events from `clock`. Waits, timeouts and deadlines of a runner are the runtime's in any
        /// case.
        pub fn clock(mut self, clock: impl $crate::time::Clock + 'static) -> Self {
            self.opening.watch.clock = Some(std::sync::Arc::new(clock));
            self
        }
    };
}

pub(crate) use setters;
