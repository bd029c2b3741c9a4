//! Rolling back a failed run in the typed drive.

use super::Failure;
use crate::context::{Phase, StepContext};
use crate::event::{FailureRecord, Kind, RunResume, RunStatus, Text, UndoStatus};
use crate::failure::{StepError, advice, error_record, failed_step, whole_text};
use crate::observe::Scoped;
use crate::policy::next_attempt;
use crate::recorder::Recorder;
use crate::state::RunState;
use crate::workflow::Workflow;

impl<W: Workflow, E: StepError> Failure<W, E> {
    /// Undoes every step that began and declares `undo`: completed, failed half-way or interrupted; newest first.
    ///
    /// An undo follows its step's retry rule, on this thread. If one fails the others still run, the run is stuck, and
    /// the context keeps all errors beside the original one. The failure that comes back is this one, with the outcome
    /// in [`FailureRecord::rollback`](crate::event::FailureRecord::rollback).
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{Workflow, event::RunStatus};
    ///
    /// #[derive(Workflow, Debug)]
    /// #[workflow(on_failure = "rollback")]
    /// enum Provision {
    ///     #[step(undo)]
    ///     Apply,
    ///     Check,
    /// }
    /// use provision::*;
    ///
    /// let mut servers = vec!["web-1"];
    /// let run = Provision::machine().begin()?;
    /// let run = run.step(Apply, |_| Ok::<(), std::io::Error>(servers.push("web-2")))?;
    /// let failure = run.step(Check, |_| Err(std::io::Error::other("no answer"))).err().expect("it failed");
    ///
    /// let failure = failure.rollback(|step, _cx| match step {
    ///     Provision::Apply => Ok::<(), std::io::Error>(drop(servers.pop())),
    ///     other => unreachable!("{other:?} declares no undo"),
    /// });
    /// assert_eq!(servers, ["web-1"]);
    /// let rollback = failure.context().record().rollback.as_ref().unwrap();
    /// assert_eq!(rollback.status, RunStatus::RolledBack);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the failure is still one after its rollback"]
    pub fn rollback<U: StepError>(mut self, mut undo: impl FnMut(W, &mut StepContext) -> Result<(), U>) -> Self {
        for step in self.begin_rollback() {
            let mut tried = 0;
            while let Some((undo_step, mut cx)) = self.begin_undo(step) {
                let result = cx.run_inside(|cx| undo(undo_step, cx));
                tried += 1;
                if !self.end_undo(cx, result, Some(tried)) {
                    break;
                }
            }
        }
        self.end_rollback();
        self
    }

    /// [`rollback`](Self::rollback) for undos that wait on something. Each undo is tried once: waiting for a retry
    /// needs a timer, which the runner has.
    #[must_use = "the failure is still one after its rollback"]
    pub async fn rollback_async<U: StepError>(
        mut self,
        mut undo: impl AsyncFnMut(W, &mut StepContext) -> Result<(), U>,
    ) -> Self {
        for step in self.begin_rollback() {
            if let Some((undo_step, mut cx)) = self.begin_undo(step) {
                let result = match cx.take_scopes() {
                    None => undo(undo_step, &mut cx).await,
                    Some(scopes) => Scoped::new(scopes, Box::pin(undo(undo_step, &mut cx))).await,
                };
                self.end_undo(cx, result, None);
            }
        }
        self.end_rollback();
        self
    }

    /// Leaves the effect of `step` as it is when the rollback comes to it: for an undo that cannot succeed, or should
    /// not run. A step that there is nothing to undo of stays as it was.
    #[must_use = "the failure is still one, and its rollback is still to be called"]
    pub fn skip_undo(mut self, step: W, why: impl Into<Text>) -> Self {
        self.0.kept.push((step.index(), why.into()));
        self
    }

    /// Begins an attempt at undoing a step; `None` where its effect is to stay, and where nothing may run any more.
    ///
    /// While the undo runs, the run is in its context: dropped there, it ends as stuck.
    fn begin_undo(&mut self, step: usize) -> Option<(W, StepContext)> {
        let why = self.0.kept.iter().rev().find(|(kept, _)| *kept == step).map(|(_, why)| why.clone());
        let recorder = self.open_run()?;
        if why.is_some() {
            recorder.end_undo(step, UndoStatus::Skipped, why, None);
            return None;
        }
        let begins = recorder.begin_undo(step);
        let recorder = self.0.run.take_if(|_| begins)?;
        Some((W::from_index(step)?, StepContext::own(recorder, step, Phase::Undo)))
    }

    /// Records how an attempt ended; `true` where another one is due, after the wait before it. `tried` counts the
    /// attempts of this rollback, and is `None` where nothing can wait.
    fn end_undo<U: StepError>(&mut self, cx: StepContext, result: Result<(), U>, tried: Option<u32>) -> bool {
        let (step, retry) = (cx.index, cx.info().retry);
        let recorder = self.0.run.insert(cx.link.into_recorder());
        if let (Err(error), Some(tried)) = (&result, tried)
            && let Some(delay) = next_attempt(retry, tried, advice(error), fastrand::f64(), None)
        {
            let is_due = recorder.retry(step, delay, error_record(error));
            if is_due {
                recorder.clock().sleep(delay);
            }
            return is_due;
        }
        match &result {
            Ok(()) => recorder.end_undo(step, UndoStatus::Undone, None, None),
            Err(error) => recorder.end_undo(step, UndoStatus::UndoFailed, None, Some(error_record(error))),
        };
        false
    }

    fn open_run(&mut self) -> Option<&mut Recorder> {
        self.0.run.as_deref_mut().filter(|recorder| !recorder.is_broken())
    }

    fn begin_rollback(&mut self) -> Vec<usize> {
        let Some(recorder) = self.open_run() else { return Vec::new() };
        recorder.reopen();
        recorder.state().to_undo()
    }

    /// Ends the run by what became of the undos, and takes the outcome into the context.
    fn end_rollback(&mut self) {
        let Some(recorder) = self.0.run.as_deref_mut() else { return };
        let mut record = with_rollback(recorder.state(), self.0.context.record());
        recorder.end_rollback(&record);
        self.0.journal = recorder.take_fault().or(self.0.journal.take());
        recorder.let_go_if_broken();
        record.journal = self.0.journal.as_ref().map(whole_text);
        *self.0.context.record_mut() = record;
    }
}

/// What was known of a failure, with what became of the steps since.
pub(super) fn with_rollback(state: &RunState, failed: &FailureRecord) -> FailureRecord {
    let step = failed.step.as_ref().and_then(|step| step.find(state.plan()));
    let mut record = failed_step(state, step, failed.error.clone());
    record.trace_file.clone_from(&failed.trace_file);
    // The failure happened when it did; what came since belongs to the rollback.
    record.failed_at = failed.failed_at;
    record.run_duration = failed.run_duration;
    record.step_duration = failed.step_duration;
    record
}

impl Recorder {
    /// A run that ended as failed or cancelled goes on backwards.
    pub(crate) fn reopen(&mut self) {
        let state = self.state();
        let is_left = state.status().has_ended() && state.status().can_resume() && !state.to_undo().is_empty();
        if is_left && self.claim_again() {
            self.record(Kind::RunResume(RunResume {
                rollback: true,
                plan: None,
                again: Vec::new(),
                parent_attempt: None,
            }));
        }
    }

    /// Ends the run by what became of the undos.
    pub(crate) fn end_rollback(&mut self, record: &FailureRecord) {
        if self.state().status() != RunStatus::RollingBack {
            return self.close();
        }
        let is_left = !self.state().to_undo().is_empty();
        let status = if is_left { RunStatus::Stuck } else { RunStatus::RolledBack };
        self.end(status, Some(record.clone()));
    }
}
