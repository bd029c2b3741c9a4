//! How a run begins.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::Machine;
use crate::context::StepContext;
use crate::event::{Kind, RunResume, RunStart, RunStatus};
use crate::journal::{Journal, JournalError};
use crate::observe::Observer;
use crate::recorder::{Recorder, Watch};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::time::Clock;
use crate::workflow::{SharedPlan, Workflow};

/// What a run is to be like; everything is optional. From `YourEnum::machine()`.
///
/// # Examples
///
/// ```
/// use step_machine::{MemoryJournal, Workflow, observe::callbacks};
///
/// #[derive(Workflow)]
/// enum Deploy { Start }
///
/// let run = Deploy::machine()
///     .id("shop-7")
///     .label("ticket", "OPS-12")
///     .journal(MemoryJournal::new())
///     .observe(callbacks().on_any(|event| println!("{}", event.event_type())))
///     .begin()?;
/// # drop(run);
/// # Ok::<(), step_machine::JournalError>(())
/// ```
#[must_use = "nothing begins before `begin`"]
pub struct MachineBuilder<W> {
    id: Option<RunId>,
    labels: Vec<(String, String)>,
    input: Option<Value>,
    watch: Watch,
    workflow: PhantomData<fn() -> W>,
}

impl<W: Workflow> MachineBuilder<W> {
    pub(crate) fn new() -> Self {
        Self { id: None, labels: Vec::new(), input: None, watch: Watch::default(), workflow: PhantomData }
    }

    /// Sets the id of the run. Without one a new id is generated, and the run is a new one.
    pub fn id(mut self, id: impl Into<RunId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a label: who started the run, for which ticket, and the like.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Records what the run works on. A value that cannot be JSON is recorded as the error that says why.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.input = Some(serde_json::to_value(input).unwrap_or_else(|error| Value::from(format!("<{error}>"))));
        self
    }

    /// Keeps the run in `journal`: under an id that it has, the run goes on where it was.
    pub fn journal(mut self, journal: impl Journal + 'static) -> Self {
        self.watch.journal = Some(Arc::new(journal));
        self
    }

    /// Shows the run's events to `observer`; may be called several times.
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        self.watch.observers.add(observer);
        self
    }

    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.watch.clock = Some(Arc::new(clock));
        self
    }

    /// Begins the run, or goes on with it where the journal has one under this id.
    ///
    /// A run that has completed is replayed: no body is called, and the recorded outputs are handed out.
    pub fn begin(mut self) -> Result<Machine<W, W::Start>, JournalError> {
        let cx = match self.history()? {
            Some(state) => self.resume(state)?,
            None => self.start()?,
        };
        Ok(Machine::new(cx))
    }

    /// What the journal has of the run.
    fn history(&self) -> Result<Option<RunState>, JournalError> {
        let (Some(journal), Some(id)) = (&self.watch.journal, &self.id) else {
            return Ok(None);
        };
        let events = journal.load(id)?;
        RunState::fold(&events).map_err(|source| JournalError::Corrupt { run: id.clone(), source })
    }

    fn start(&mut self) -> Result<Box<StepContext>, JournalError> {
        let now = self.watch.wall();
        let run = self.id.take().unwrap_or_else(|| RunId::generate(now));
        let plan = SharedPlan::from(W::plan());
        let has_news = !self.watch.is_idle() || !self.labels.is_empty() || self.input.is_some();
        let mut cx = self.context(RunState::new(run, plan.clone(), now), now);
        if has_news {
            let (labels, input) = (self.labels.drain(..).collect(), self.input.take());
            cx.recorder.announce(RunStart { plan, labels, input })?;
        }
        Ok(cx)
    }

    #[inline]
    fn context(&mut self, state: RunState, now: SystemTime) -> Box<StepContext> {
        Box::new(StepContext::new(Recorder::new(state, std::mem::take(&mut self.watch), now)))
    }

    fn resume(&mut self, mut state: RunState) -> Result<Box<StepContext>, JournalError> {
        let run = state.run().clone();
        if state.workflow() != W::NAME {
            return Err(JournalError::OtherWorkflow {
                run,
                found: state.workflow().to_owned(),
                expected: W::NAME.to_owned(),
            });
        }
        let changes = state.plan_changes(W::plan());
        if !changes.is_empty() {
            return Err(JournalError::PlanChanged { run, changes });
        }
        let status = state.status();
        if matches!(status, RunStatus::RolledBack | RunStatus::RollingBack | RunStatus::Stuck) {
            return Err(JournalError::Over { run, status });
        }
        let is_other = state.plan() != W::plan();
        state.rebase(W::plan().into());
        // Completed is final: a step that is new since then could never run.
        if status == RunStatus::Completed && state.steps().iter().any(|step| !step.status().is_settled()) {
            return Err(JournalError::Over { run, status });
        }
        let now = self.watch.wall();
        let mut cx = self.context(state, now);
        if status.can_resume() {
            cx.recorder
                .record(Kind::RunResume(RunResume { rollback: false, plan: is_other.then(|| W::plan().into()) }));
        }
        match cx.recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(cx),
        }
    }
}

impl<W> fmt::Debug for MachineBuilder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineBuilder").field("id", &self.id).field("labels", &self.labels).finish_non_exhaustive()
    }
}
