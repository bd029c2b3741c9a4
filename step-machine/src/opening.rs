//! How a run begins, or goes on: what both drives ask for in the same words.

use serde::Serialize;
use serde_json::Value;

use crate::event::{Kind, RunResume, RunStart, RunStatus};
use crate::journal::JournalError;
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
    pub(crate) watch: Watch,
}

impl Opening {
    pub(crate) fn set_input(&mut self, input: impl Serialize) {
        self.input = Some(serde_json::to_value(input).unwrap_or_else(|error| Value::from(format!("<{error}>"))));
    }

    /// Begins a run of `plan`, or goes on with it where the journal has one under this id.
    ///
    /// `backwards` says whether a rollback that was cut off may go on.
    pub(crate) fn open<W: Workflow>(mut self, plan: SharedPlan, backwards: bool) -> Result<Recorder, JournalError> {
        match self.history()? {
            Some(state) => self.resume::<W>(state, plan, backwards),
            None => self.start(plan),
        }
    }

    /// What the journal has of the run.
    fn history(&self) -> Result<Option<RunState>, JournalError> {
        let (Some(journal), Some(id)) = (&self.watch.journal, &self.id) else {
            return Ok(None);
        };
        let events = journal.load(id)?;
        RunState::fold(&events).map_err(|source| JournalError::Corrupt { run: id.clone(), source })
    }

    fn start(&mut self, plan: SharedPlan) -> Result<Recorder, JournalError> {
        let now = self.watch.wall();
        let run = self.id.take().unwrap_or_else(|| RunId::generate(now));
        let has_news = !self.watch.is_idle() || !self.labels.is_empty() || self.input.is_some();
        let mut recorder = Recorder::new(RunState::new(run, plan.clone(), now), std::mem::take(&mut self.watch), now);
        if has_news {
            let (labels, input) = (self.labels.drain(..).collect(), self.input.take());
            recorder.announce(RunStart { plan, labels, input })?;
        }
        Ok(recorder)
    }

    /// Goes on where `state` is.
    pub(crate) fn resume<W: Workflow>(
        mut self,
        mut state: RunState,
        plan: SharedPlan,
        backwards: bool,
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
        let rollback = matches!(status, RunStatus::RollingBack | RunStatus::Stuck);
        if status == RunStatus::RolledBack || (rollback && !backwards) {
            return Err(JournalError::Over { run, status });
        }
        let is_other = *state.plan() != *plan;
        state.rebase(plan.clone());
        // Completed is final: a step that is new since then could never run.
        if status == RunStatus::Completed && state.steps().iter().any(|step| !step.status().is_settled()) {
            return Err(JournalError::Over { run, status });
        }
        let now = self.watch.wall();
        let mut recorder = Recorder::new(state, std::mem::take(&mut self.watch), now);
        if status.can_resume() {
            recorder.record(Kind::RunResume(RunResume { rollback, plan: is_other.then_some(plan) }));
        }
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}
