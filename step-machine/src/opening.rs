//! How a run begins, or goes on: what both drives ask for in the same words.

use serde::Serialize;
use serde_json::Value;

use crate::event::{Kind, Parent, RunResume, RunStart, RunStatus};
use crate::journal::{Journal, JournalError};
use crate::recorder::{Recorder, Watch};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{SharedPlan, Workflow};

/// What a run is to be like.
#[derive(Default)]
pub(crate) struct Opening {
    pub(crate) id: Option<RunId>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) input: Option<Value>,
    pub(crate) parent: Option<Parent>,
    pub(crate) watch: Watch,
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

impl Opening {
    pub(crate) fn set_input(&mut self, input: impl Serialize) {
        self.input = Some(serde_json::to_value(input).unwrap_or_else(|error| Value::from(format!("<{error}>"))));
    }

    /// Begins a run of `plan`, or goes on with it where the journal has one under this id.
    pub(crate) fn open<W: Workflow>(mut self, plan: SharedPlan, way: Way) -> Result<Box<Recorder>, JournalError> {
        let state = match &self.id {
            Some(id) => Self::history(self.watch.journal.as_deref(), id)?,
            None => None,
        };
        match state {
            Some(state) => self.resume::<W>(state, plan, way),
            None => self.start(plan),
        }
    }

    /// What the journal has of a run.
    pub(crate) fn history(journal: Option<&dyn Journal>, run: &RunId) -> Result<Option<RunState>, JournalError> {
        let Some(journal) = journal else { return Ok(None) };
        let events = journal.load(run)?;
        RunState::fold(&events).map_err(|source| JournalError::Corrupt { run: run.clone(), source })
    }

    fn start(&mut self, plan: SharedPlan) -> Result<Box<Recorder>, JournalError> {
        let now = self.watch.wall();
        let run = self.id.take().unwrap_or_else(|| RunId::generate(now));
        let has_news =
            !self.watch.is_idle() || self.parent.is_some() || !self.labels.is_empty() || self.input.is_some();
        let mut recorder = Recorder::new(RunState::new(run, plan.clone(), now), std::mem::take(&mut self.watch), now);
        if has_news {
            let (labels, input) = (self.labels.drain(..).collect(), self.input.take());
            recorder.announce(RunStart { plan, parent: self.parent.take(), labels, input })?;
        }
        Ok(recorder)
    }

    /// Goes on where `state` is.
    pub(crate) fn resume<W: Workflow>(
        mut self,
        mut state: RunState,
        plan: SharedPlan,
        way: Way,
    ) -> Result<Box<Recorder>, JournalError> {
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
        let mut recorder = Recorder::new(state, std::mem::take(&mut self.watch), now);
        if is_recorded {
            recorder.record(Kind::RunResume(RunResume { rollback, plan: is_other.then_some(plan) }));
        }
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}
