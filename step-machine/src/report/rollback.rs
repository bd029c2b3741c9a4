//! Rolling back a failed run in the typed drive.

use std::time::Duration;

use super::Failure;
use crate::context::StepContext;
use crate::event::{ErrorRecord, Kind, RunResume, RunStatus, StepRetry, Text, UndoEnd, UndoStart, UndoStatus};
use crate::failure::{StepError, abandoned, error_record, failed_step, halted, whole_text};
use crate::state::Undo;
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
            let Some(cx) = self.undoable(step) else { continue };
            let mut tried = 0;
            while let Some(undo_step) = cx.begin_undo(step) {
                let result = undo(undo_step, cx);
                tried += 1;
                if !cx.end_undo_attempt(result, Some(tried)) {
                    break;
                }
            }
        }
        self.end_rollback();
        self
    }

    /// [`rollback`](Self::rollback) for undos that wait on something. Each undo is tried once: waiting for a retry
    /// needs a timer, which comes with the runner.
    #[must_use = "the failure is still one after its rollback"]
    pub async fn rollback_async<U: StepError>(
        mut self,
        mut undo: impl AsyncFnMut(W, &mut StepContext) -> Result<(), U>,
    ) -> Self {
        for step in self.begin_rollback() {
            let Some(cx) = self.undoable(step) else { continue };
            if let Some(undo_step) = cx.begin_undo(step) {
                let result = undo(undo_step, cx).await;
                cx.end_undo_attempt(result, None);
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

    /// The run, where `step` is to be undone now; a step whose effect is to stay is recorded as such.
    fn undoable(&mut self, step: usize) -> Option<&mut StepContext> {
        let why = self.0.kept.iter().rev().find(|(kept, _)| *kept == step).map(|(_, why)| why.clone());
        let cx = self.open_run()?;
        if why.is_some() {
            cx.index = step;
            cx.end_undo(UndoStatus::Skipped, why, None);
            return None;
        }
        Some(cx)
    }

    fn open_run(&mut self) -> Option<&mut StepContext> {
        let cx = self.0.run.as_deref_mut()?;
        (!cx.recorder.is_broken()).then_some(cx)
    }

    /// A run that ended as failed goes on backwards.
    fn reopen(&mut self) {
        if let Some(cx) = self.open_run() {
            let state = cx.recorder.state();
            if state.status().has_ended() && state.status().can_resume() && !state.to_undo().is_empty() {
                cx.recorder.record(Kind::RunResume(RunResume { rollback: true, plan: None }));
            }
        }
    }

    fn begin_rollback(&mut self) -> Vec<usize> {
        self.reopen();
        self.open_run().map(|cx| cx.recorder.state().to_undo()).unwrap_or_default()
    }

    /// Ends the run by what became of the undos, and takes the outcome into the context.
    fn end_rollback(&mut self) {
        let step = self.step().map(|step| step.index());
        let error = self.0.context.record().error.clone();
        let trace_file = self.0.context.record().trace_file.clone();
        let Some(cx) = self.0.run.as_deref_mut() else { return };
        let mut record = failed_step(cx.recorder.state(), step, error);
        record.trace_file = trace_file;
        // The failure happened when it did; what came since belongs to the rollback.
        let failed = self.0.context.record();
        record.failed_at = failed.failed_at;
        record.run_duration = failed.run_duration;
        record.step_duration = failed.step_duration;
        match cx.recorder.state().status() {
            RunStatus::RollingBack => {
                let left = !cx.recorder.state().to_undo().is_empty();
                let status = if left { RunStatus::Stuck } else { RunStatus::RolledBack };
                cx.recorder.end(status, Some(record.clone()));
            }
            _ => cx.recorder.close(),
        }
        self.0.journal = cx.recorder.take_fault().or(self.0.journal.take());
        record.journal = self.0.journal.as_ref().map(whole_text);
        *self.0.context.record_mut() = record;
    }
}

impl StepContext {
    /// Records that undoing begins; `None` where nothing may run any more.
    fn begin_undo<W: Workflow>(&mut self, index: usize) -> Option<W> {
        self.index = index;
        self.undoing = true;
        let start =
            UndoStart { step: self.recorder.state().step_ref(index), attempt: self.step_state().undo_attempts() + 1 };
        if self.recorder.record(Kind::UndoStart(start)) { W::from_index(index) } else { None }
    }

    /// Records how an attempt ended; `true` where another one is due, after the wait before it. `tried` counts the
    /// attempts of this rollback, and is `None` where nothing can wait.
    fn end_undo_attempt<U: StepError>(&mut self, result: Result<(), U>, tried: Option<u32>) -> bool {
        let attempt = self.step_state().undo_attempts();
        if let (Err(error), Some(tried)) = (&result, tried)
            && let Some(delay) = self.wait_after(tried, error)
        {
            let step = self.recorder.state().step_ref(self.index);
            let retry = StepRetry { step, attempt, delay, error: error_record(error) };
            let recorded = self.recorder.record(Kind::StepRetry(Box::new(retry)));
            if recorded {
                self.recorder.sleep(delay);
            }
            return recorded;
        }
        match &result {
            Ok(()) => self.end_undo(UndoStatus::Undone, None, None),
            Err(error) => self.end_undo(UndoStatus::UndoFailed, None, Some(error_record(error))),
        }
        self.undoing = false;
        false
    }

    fn end_undo(&mut self, status: UndoStatus, message: Option<Text>, error: Option<ErrorRecord>) {
        let elapsed = self.recorder.elapsed();
        let state = self.step_state();
        let began = if state.undo() == Undo::Running { state.undo_started() } else { elapsed };
        let duration = Duration::from_nanos(elapsed.saturating_sub(began));
        let step = self.recorder.state().step_ref(self.index);
        self.recorder.record_at(elapsed, Kind::UndoEnd(Box::new(UndoEnd { step, status, duration, message, error })));
    }

    /// Records an undo as failed whose body will not come back, and the run as stuck.
    #[cold]
    pub(crate) fn abandon_undo(&mut self) {
        self.end_undo(UndoStatus::UndoFailed, None, Some(abandoned()));
        let record = halted(self.recorder.state());
        self.recorder.end(RunStatus::Stuck, record);
    }
}
