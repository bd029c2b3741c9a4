//! A step's turn in the record: what the typed drive writes, without its types.

use std::time::Duration;

use serde_json::Value;

use crate::context::StepContext;
use crate::event::{ErrorRecord, Kind, Reason, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, Text};
use crate::failure::{StepError, abandoned, error_record};
use crate::state::{RunState, Undo};

impl Drop for StepContext {
    /// A step that is still running, or being undone, was left by a panic or by a future that was dropped.
    fn drop(&mut self) {
        if self.recorder.state().steps().get(self.index).is_some_and(|step| step.status() == StepStatus::Running) {
            self.abandon_step();
        } else if self.undoing && self.step_state().undo() == Undo::Running {
            self.abandon_undo();
        }
    }
}

impl StepContext {
    /// Begins an attempt at a step; `false` where its body must not run: it is settled, or the journal failed.
    #[inline(never)]
    pub(super) fn begin_step(&mut self, index: usize) -> bool {
        self.index = index;
        match self.recorder.start_plainly(index) {
            Ok(()) => {
                self.recorder.tell(|state| start(state, index, 1, false));
                true
            }
            Err(now) => self.begin_step_at(now),
        }
    }

    #[inline(never)]
    fn begin_step_at(&mut self, now: u64) -> bool {
        let step = self.step_state();
        if step.status().is_settled() {
            return false;
        }
        let start = start(self.recorder.state(), self.index, step.attempts() + 1, step.is_interrupted());
        self.recorder.record_at(now, start)
    }

    /// Settles the step as completed; `false` where the journal failed.
    #[inline(never)]
    pub(super) fn complete_step(&mut self) -> bool {
        let index = self.index;
        match self.recorder.complete_plainly(index) {
            Ok(()) => {
                self.recorder.tell(|state| Kind::StepEnd(end(state, index, state.last_stamp().elapsed)));
                true
            }
            Err(now) => self.end_step(now, StepStatus::Completed, None, None, None),
        }
    }

    /// Settles the step as completed with its output; `false` where the journal failed.
    pub(super) fn complete_step_with(&mut self, output: Value) -> bool {
        let now = self.recorder.elapsed();
        self.end_step(now, StepStatus::Completed, None, None, Some(Box::new(output)))
    }

    /// Settles the step as failed: a critical one stops the run, any other counts as skipped.
    #[cold]
    pub(super) fn fail_step(&mut self, error: ErrorRecord) -> bool {
        let critical = self.info().critical;
        let (status, reason) =
            if critical { (StepStatus::Failed, None) } else { (StepStatus::Skipped, Some(Reason::Failed)) };
        let now = self.recorder.elapsed();
        self.end_step(now, status, reason, Some(Box::new(error)), None)
    }

    /// Settles a step as cancelled whose body will not come back.
    #[cold]
    fn abandon_step(&mut self) {
        let reason = if std::thread::panicking() { Reason::Panicked } else { Reason::Dropped };
        let now = self.recorder.elapsed();
        self.end_step(now, StepStatus::Cancelled, Some(reason), Some(Box::new(abandoned())), None);
    }

    fn end_step(
        &mut self,
        elapsed: u64,
        status: StepStatus,
        reason: Option<Reason>,
        error: Option<Box<ErrorRecord>>,
        output: Option<Box<Value>>,
    ) -> bool {
        let end = StepEnd { status, reason, error, output, ..end(self.recorder.state(), self.index, elapsed) };
        self.recorder.record_at(elapsed, Kind::StepEnd(end))
    }

    pub(super) fn skip_step(&mut self, index: usize, why: Text) {
        self.index = index;
        if self.step_state().status().is_settled() || self.recorder.state().status() != RunStatus::Running {
            return;
        }
        let end = StepEnd {
            status: StepStatus::Skipped,
            reason: Some(Reason::Requested),
            message: Some(why),
            duration: Duration::ZERO,
            attempt_duration: Duration::ZERO,
            ..end(self.recorder.state(), index, 0)
        };
        self.recorder.record(Kind::StepEnd(end));
    }

    /// Waits and begins the next attempt where the retry rule allows one; `failed` attempts failed in this process.
    pub(super) fn retry_step<E: StepError>(&mut self, failed: u32, error: &E) -> bool {
        let Some(delay) = self.wait_after(failed, error) else {
            return false;
        };
        let retry = StepRetry {
            step: self.recorder.state().step_ref(self.index),
            attempt: self.attempt(),
            delay,
            error: error_record(error),
        };
        if !self.recorder.record(Kind::StepRetry(Box::new(retry))) {
            return false;
        }
        self.recorder.sleep(delay);
        self.begin_step(self.index)
    }
}

fn start(state: &RunState, index: usize, attempt: u32, interrupted: bool) -> Kind {
    Kind::StepStart(StepStart { step: state.step_ref(index), attempt, interrupted })
}

/// The end of a step that completed without an output.
fn end(state: &RunState, index: usize, elapsed: u64) -> StepEnd {
    let step = &state.steps()[index];
    let since = |start: u64| Duration::from_nanos(elapsed.saturating_sub(start));
    StepEnd {
        step: state.step_ref(index),
        status: StepStatus::Completed,
        reason: None,
        message: None,
        attempt: step.attempts(),
        duration: since(step.first_started()),
        attempt_duration: since(step.attempt_started()),
        error: None,
        output: None,
    }
}
