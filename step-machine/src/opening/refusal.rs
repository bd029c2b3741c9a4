//! Why a run that the journal has may not go on.

use super::{Opening, Start, Way};
use crate::event::RunStatus;
use crate::journal::{Journal, JournalError};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::Plan;

impl Opening {
    /// Fails as the run would once it is held, as far as that shows before: whoever drives it is not stopped in vain.
    // By `&mut`, as what observes the run is not shared between threads.
    pub(super) async fn refusal(
        &mut self,
        journal: &dyn Journal,
        run: &RunId,
        plan: &Plan,
        way: Way,
    ) -> Result<(), JournalError> {
        let events = journal.load(run).await?;
        if self.start == Start::New && !events.is_empty() {
            return Err(JournalError::Exists { run: run.clone() });
        }
        if let Some(state) = self.watch.secrecy.fold(run, events, plan)? {
            return self.check(&plan.workflow, &state, plan, way);
        }
        if self.has_to_be_kept() {
            return Err(JournalError::NotFound { run: run.clone() });
        }
        let fork = self.more.as_ref().and_then(|more| more.fork.as_ref());
        let Some((source, _)) = fork.cloned() else { return Ok(()) };
        match self.watch.secrecy.fold(&source, journal.load(&source).await?, plan)? {
            Some(state) => fits(&plan.workflow, &state, plan),
            None => Err(JournalError::NotFound { run: source }),
        }
    }

    /// Whether a run can go on that way as one of `plan`.
    pub(super) fn check(&self, workflow: &str, state: &RunState, plan: &Plan, way: Way) -> Result<(), JournalError> {
        fits(workflow, state, plan)?;
        let status = state.status();
        let is_refused = match status {
            RunStatus::RolledBack => true,
            // A completed run is taken back only with the one that it is in.
            RunStatus::Completed => way == Way::Back && state.parent().is_none(),
            _ => is_going_back(status) && (way == Way::Forward || self.again().is_some()),
        };
        if is_refused { Err(JournalError::Over { run: state.run().clone(), status }) } else { Ok(()) }
    }
}

/// Whether a rollback of it began that is not over.
pub(super) fn is_going_back(status: RunStatus) -> bool {
    matches!(status, RunStatus::RollingBack | RunStatus::Stuck)
}

/// Whether a run can be taken for one of `plan`.
pub(super) fn fits(workflow: &str, state: &RunState, plan: &Plan) -> Result<(), JournalError> {
    let run = state.run().clone();
    if state.workflow() != workflow {
        let (found, expected) = (state.workflow().to_owned(), workflow.to_owned());
        return Err(JournalError::OtherWorkflow { run, found, expected });
    }
    let changes = state.plan_changes(plan);
    if changes.is_empty() { Ok(()) } else { Err(JournalError::PlanChanged { run, changes }) }
}
