//! The failure context: what is known of a run that did not complete, with its steps as values of their enum.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::story::Story;
use crate::event::{
    Effect, ErrorRecord, FailureRecord, RollbackRecord, RunStatus, StepRecord, StepStatus, UndoRecord, UndoStatus,
};
use crate::run_id::RunId;
use crate::state::{RunState, StepState, Undo};
use crate::time::timestamp;
use crate::workflow::Workflow;

/// What is known of a run that did not complete: data to store, to show and to read back.
///
/// `{}` is one line, `{:#}` the whole story. As JSON it is the `failure` of the run's last event.
///
/// # Examples
///
/// ```
/// use step_machine::{FailureContext, Workflow};
///
/// #[derive(Workflow, Debug, PartialEq)]
/// enum Deploy { Download, Start }
/// use deploy::*;
///
/// let run = Deploy::machine().id("shop-7").begin()?;
/// let failure = run
///     .step(Download, |_| Err(std::io::Error::other("no route to host")))
///     .err()
///     .expect("the step failed");
/// let context = failure.into_context();
/// assert_eq!(context.step(), Some(Deploy::Download));
/// assert_eq!(context.never_ran().collect::<Vec<_>>(), [Deploy::Start]);
///
/// let json = serde_json::to_string(&context)?;
/// let read: FailureContext<Deploy> = serde_json::from_str(&json)?;
/// assert_eq!(read, context);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FailureContext<W> {
    record: FailureRecord,
    workflow: PhantomData<fn() -> W>,
}

/// Why a stored failure is not one of this workflow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// It belongs to another workflow.
    #[error("the failure is of workflow `{found}`, not of `{expected}`")]
    OtherWorkflow {
        /// The workflow of the failure.
        found: String,
        /// The workflow that was asked for.
        expected: &'static str,
    },
    /// The workflow has no step with this id.
    #[error("workflow `{workflow}` has no step `{step}`; if it was renamed, give it `alias = \"{step}\"`")]
    UnknownStep {
        /// The workflow.
        workflow: &'static str,
        /// The id.
        step: String,
    },
}

impl<W: Workflow> FailureContext<W> {
    /// Takes a record as one of this workflow.
    pub fn from_record(record: FailureRecord) -> Result<Self, ContextError> {
        if record.workflow != W::NAME {
            return Err(ContextError::OtherWorkflow { found: record.workflow.into_owned(), expected: W::NAME });
        }
        let ids =
            record.steps.iter().map(|step| step.id.id()).chain(record.step.as_ref().map(crate::event::StepRef::id));
        if let Some(unknown) = ids.into_iter().find(|id| W::plan().position(id).is_none()) {
            return Err(ContextError::UnknownStep { workflow: W::NAME, step: unknown.to_owned() });
        }
        Ok(Self::trusted(record))
    }

    pub(crate) fn trusted(record: FailureRecord) -> Self {
        Self { record, workflow: PhantomData }
    }

    /// The step that failed; `None` where the run failed between steps, for one because its journal did.
    pub fn step(&self) -> Option<W> {
        W::from_id(self.record.step.as_ref()?.id())
    }

    /// The error's kind, as [`StepError::kind`](super::StepError::kind) gave it, or `timeout`, `panic`, `cancelled`,
    /// `output` or `journal`.
    pub fn kind(&self) -> &str {
        &self.record.error.kind
    }

    /// The steps that completed before the run stopped, in declared order, whether they were undone since or not.
    pub fn completed(&self) -> impl Iterator<Item = W> {
        self.ended_as(StepStatus::Completed)
    }

    /// The steps that were skipped, on purpose or as failed non-critical ones, in declared order.
    pub fn skipped(&self) -> impl Iterator<Item = W> {
        self.ended_as(StepStatus::Skipped)
    }

    /// The steps that never ran, in declared order; none where the run was not even opened, as nothing is known then.
    pub fn never_ran(&self) -> impl Iterator<Item = W> {
        let pending = self.record.steps.iter().filter(|step| step.status == StepStatus::Pending && step.attempts == 0);
        pending.filter_map(|step| W::from_id(step.id.id()))
    }

    fn ended_as(&self, status: StepStatus) -> impl Iterator<Item = W> {
        let steps = self.record.steps.iter().filter(move |step| step.before_undo.unwrap_or(step.status) == status);
        steps.filter_map(|step| W::from_id(step.id.id()))
    }
}

impl<W> FailureContext<W> {
    /// Everything that is known, with the steps by their ids.
    pub fn record(&self) -> &FailureRecord {
        &self.record
    }

    /// Everything that is known, with the steps by their ids.
    pub fn into_record(self) -> FailureRecord {
        self.record
    }

    pub(crate) fn record_mut(&mut self) -> &mut FailureRecord {
        &mut self.record
    }

    /// Writes the trace, a text for people, to a new file in `dir` and remembers its path.
    ///
    /// The file's name begins with the time of the failure, so a folder of traces sorts by age. `dir` is created where
    /// it does not exist.
    pub fn write_trace(&mut self, dir: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = super::story::write(&self.record, dir.as_ref())?;
        self.record.trace_file = Some(path.clone());
        Ok(path)
    }
}

impl<W> Clone for FailureContext<W> {
    fn clone(&self) -> Self {
        Self { record: self.record.clone(), workflow: PhantomData }
    }
}

impl<W> PartialEq for FailureContext<W> {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl<W> fmt::Debug for FailureContext<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailureContext").field(&self.record).finish()
    }
}

impl<W> fmt::Display for FailureContext<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let story = Story(&self.record);
        if f.alternate() { story.tell(f) } else { story.headline(f) }
    }
}

impl<W> Serialize for FailureContext<W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(serializer)
    }
}

impl<'de, W: Workflow> Deserialize<'de> for FailureContext<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_record(FailureRecord::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The record of a run that `step` stopped, or that was stopped between steps.
pub(crate) fn failed_step(state: &RunState, step: Option<usize>, error: ErrorRecord) -> FailureRecord {
    let at = |elapsed| state.time_at(crate::time::nanos(elapsed));
    let failed = step.map(|index| &state.steps()[index]);
    FailureRecord {
        run: state.run().clone(),
        workflow: state.workflow().to_owned().into(),
        step: step.map(|index| state.step_ref(index)),
        step_number: step.map_or(0, |index| index + 1),
        total_steps: state.steps().len(),
        attempt: failed.map_or(0, StepState::attempts),
        error,
        started_at: state.started_at(),
        step_started_at: at(failed.and_then(StepState::started).unwrap_or_default()),
        failed_at: at(state.elapsed()),
        run_duration: state.elapsed(),
        step_duration: failed.and_then(StepState::duration).unwrap_or_default(),
        steps: state.steps().iter().enumerate().map(|(index, step)| row(state, index, step)).collect(),
        metadata: failed.and_then(StepState::metadata).cloned().unwrap_or_default(),
        rollback: rollback(state),
        journal: None,
        trace_file: None,
    }
}

fn row(state: &RunState, index: usize, step: &StepState) -> StepRecord {
    let message = step.skipped_because().map(str::to_owned);
    StepRecord {
        id: state.step_ref(index),
        name: state.plan().steps[index].name.clone(),
        status: step.status(),
        before_undo: step.before_undo(),
        reason: step.reason(),
        message: message.or_else(|| step.error().map(|error| error.message.clone())),
        attempts: step.attempts(),
        started: step.started().unwrap_or_default(),
        duration: step.duration().unwrap_or_default(),
    }
}

/// The undos that ended, in the order in which they ran.
fn rollback(state: &RunState) -> Option<RollbackRecord> {
    let ended = |index: &usize| matches!(state.steps()[*index].undo(), Undo::Ended(_));
    let undos: Vec<UndoRecord> = state
        .newest_first((0..state.steps().len()).filter(ended))
        .into_iter()
        .filter_map(|index| undo(state, index))
        .collect();
    if undos.is_empty() {
        return None;
    }
    let failed = undos.iter().any(|undo| undo.status == UndoStatus::UndoFailed);
    let status = match (failed, state.to_undo().is_empty()) {
        (true, _) => RunStatus::Stuck,
        (false, true) => RunStatus::RolledBack,
        (false, false) => RunStatus::RollingBack,
    };
    Some(RollbackRecord { status, undos })
}

fn undo(state: &RunState, index: usize) -> Option<UndoRecord> {
    let step = &state.steps()[index];
    let Undo::Ended(status) = step.undo() else { return None };
    Some(UndoRecord {
        step: state.step_ref(index),
        status,
        message: step.undo_message().map(str::to_owned),
        error: step.undo_error().cloned(),
    })
}

/// What stopped a run by its record: the step where one did, and the error.
pub(crate) fn earlier(state: &RunState) -> (Option<usize>, ErrorRecord) {
    // The end of the run says it, also where no step did.
    if let Some(failed) = state.failure() {
        let step = failed.step.as_ref().and_then(|step| step.find(state.plan()));
        return (step, failed.error.clone());
    }
    let step = state.halted_step();
    let error = step.and_then(|step| state.steps()[step].error()).cloned();
    (step, error.unwrap_or_else(cancelled))
}

/// The record of a run that one of its steps stopped, or that was stopped between them, whenever that was.
pub(crate) fn halted(state: &RunState) -> FailureRecord {
    let (step, error) = earlier(state);
    let mut record = failed_step(state, step, error);
    if let Some(failed) = state.failure() {
        record.failed_at = failed.failed_at;
        record.run_duration = failed.run_duration;
        record.step_duration = failed.step_duration;
        record.trace_file.clone_from(&failed.trace_file);
    } else if let Some(ended) = step.and_then(|step| state.steps()[step].attempt_ended()) {
        record.failed_at = state.time_at(ended);
        record.run_duration = Duration::from_nanos(ended);
    }
    record
}

/// The error of a run that was stopped from outside.
pub(crate) fn cancelled() -> ErrorRecord {
    ErrorRecord {
        kind: "cancelled".into(),
        message: "cancelled".to_owned(),
        chain: Vec::new(),
        effect: Effect::Unknown,
        nested: None,
    }
}

/// The error of a body that will not come back: it panicked, or its future was dropped.
pub(crate) fn abandoned() -> ErrorRecord {
    let (kind, message) =
        if std::thread::panicking() { ("panic", "panicked") } else { ("cancelled", "was dropped before its end") };
    ErrorRecord {
        kind: kind.into(),
        message: message.to_owned(),
        chain: Vec::new(),
        effect: Effect::Unknown,
        nested: None,
    }
}

/// The record of a run that failed where no state of it is at hand.
pub(crate) fn outside<W: Workflow>(run: &RunId, error: ErrorRecord) -> FailureRecord {
    let now = timestamp(std::time::SystemTime::now());
    let state = RunState::new(run.clone(), W::plan().into(), now);
    refused(failed_step(&state, None, error))
}

/// The record of a run that was not even opened: no step of it was under way here, and where its steps are only the
/// journal knows, or whoever else drives it.
pub(crate) fn refused(mut record: FailureRecord) -> FailureRecord {
    record.error.effect = Effect::Known;
    record.steps.clear();
    record
}
