//! A step's turn in the record: what both drives write, without their types.
//!
//! The intent to run or undo a step is recorded before its body starts, its outcome before anything else of it is.
//! Every method that records gives `false` where the journal failed, now or before.

use std::time::Duration;

use serde_json::Value;

use crate::event::{
    ErrorRecord, Kind, Reason, RunStatus, StepEnd, StepRetry, StepStart, StepStatus, Text, UndoEnd, UndoStart,
    UndoStatus,
};
use crate::failure::{abandoned, halted};
use crate::recorder::Recorder;
use crate::state::{RunState, StepState, Undo};

impl Recorder {
    pub(crate) fn step(&self, index: usize) -> &StepState {
        &self.state().steps()[index]
    }

    /// Begins an attempt at a step; `false` too where the step is settled.
    #[inline(never)]
    pub(crate) fn begin_step(&mut self, index: usize) -> bool {
        match self.start_plainly(index) {
            Ok(()) => {
                self.tell(|state| start(state, index, 1, false));
                true
            }
            Err(now) => self.begin_step_at(index, now),
        }
    }

    #[inline(never)]
    fn begin_step_at(&mut self, index: usize, now: u64) -> bool {
        #[cfg(feature = "runner")]
        self.hear_anew(index);
        let step = self.step(index);
        if step.status().is_settled() {
            return false;
        }
        let start = start(self.state(), index, step.attempts() + 1, step.is_interrupted());
        #[cfg(feature = "resources")]
        self.begin_measure(index);
        self.record_at(now, start)
    }

    /// Settles a step as completed that hands nothing on.
    #[inline(never)]
    pub(crate) fn complete_step(&mut self, index: usize) -> bool {
        match self.complete_plainly(index) {
            Ok(()) => {
                self.tell(|state| Kind::StepEnd(end(state, index, state.last_stamp().elapsed)));
                true
            }
            Err(now) => self.end_step_at(index, now, |_| {}),
        }
    }

    /// Settles a step as completed with its output.
    pub(crate) fn complete_step_with(&mut self, index: usize, output: Box<Value>) -> bool {
        let secret = self.state().plan().steps[index].secret;
        self.end_step(index, |end| (end.output, end.secret) = (Some(output), secret))
    }

    /// Settles a step as failed: a critical one stops the run, any other counts as skipped.
    #[cold]
    pub(crate) fn fail_step(&mut self, index: usize, error: ErrorRecord, reason: Option<Reason>) -> bool {
        let critical = self.state().plan().steps[index].critical;
        self.end_step(index, |end| {
            (end.status, end.reason) =
                if critical { (StepStatus::Failed, reason) } else { (StepStatus::Skipped, Some(Reason::Failed)) };
            end.error = Some(Box::new(error));
        })
    }

    /// Settles a step as cancelled, which stops the run.
    #[cold]
    pub(crate) fn cancel_step(&mut self, index: usize, reason: Option<Reason>, error: ErrorRecord) -> bool {
        self.end_step(index, |end| {
            (end.status, end.reason) = (StepStatus::Cancelled, reason);
            end.error = Some(Box::new(error));
        })
    }

    /// Settles a step as left out on purpose; one that is settled stays as it was.
    pub(crate) fn skip_step(&mut self, index: usize, why: Text) -> bool {
        if self.step(index).status().is_settled() || self.state().status() != RunStatus::Running {
            return !self.is_broken();
        }
        self.end_step(index, |end| {
            (end.status, end.reason) = (StepStatus::Skipped, Some(Reason::Requested));
            end.message = Some(why);
            (end.duration, end.attempt_duration) = (Duration::ZERO, Duration::ZERO);
        })
    }

    /// Settles a step as the run has settled it that this one is a copy of.
    pub(crate) fn settle_forked(
        &mut self,
        index: usize,
        status: StepStatus,
        message: Option<Text>,
        output: Option<Box<Value>>,
    ) -> bool {
        let secret = output.is_some() && self.state().plan().steps[index].secret;
        self.end_step(index, |end| {
            (end.status, end.reason, end.secret) = (status, Some(Reason::Forked), secret);
            (end.message, end.output) = (message, output);
            (end.duration, end.attempt_duration) = (Duration::ZERO, Duration::ZERO);
        })
    }

    fn end_step(&mut self, index: usize, set: impl FnOnce(&mut StepEnd)) -> bool {
        let now = self.elapsed();
        self.end_step_at(index, now, set)
    }

    fn end_step_at(&mut self, index: usize, now: u64, set: impl FnOnce(&mut StepEnd)) -> bool {
        #[cfg(feature = "resources")]
        self.end_measure(index);
        let mut end = end(self.state(), index, now);
        set(&mut end);
        self.record_at(now, Kind::StepEnd(end))
    }

    /// Records that an attempt, or one at undoing, failed and that the next one is waited for.
    pub(crate) fn retry(&mut self, index: usize, delay: Duration, error: ErrorRecord) -> bool {
        let state = self.step(index);
        let attempt = if state.undo() == Undo::Running { state.undo_attempts() } else { state.attempts() };
        let step = self.state().step_ref(index);
        self.record(Kind::StepRetry(Box::new(StepRetry { step, attempt, delay, error })))
    }

    /// Begins an attempt at undoing a step.
    pub(crate) fn begin_undo(&mut self, index: usize) -> bool {
        #[cfg(feature = "runner")]
        self.hear_anew(index);
        let attempt = self.step(index).undo_attempts() + 1;
        let step = self.state().step_ref(index);
        self.record(Kind::UndoStart(UndoStart { step, attempt }))
    }

    /// Records how undoing a step ended.
    pub(crate) fn end_undo(
        &mut self,
        index: usize,
        status: UndoStatus,
        message: Option<Text>,
        error: Option<ErrorRecord>,
    ) -> bool {
        let elapsed = self.elapsed();
        let state = self.step(index);
        let began = if state.undo() == Undo::Running { state.undo_started() } else { elapsed };
        let duration = Duration::from_nanos(elapsed.saturating_sub(began));
        let step = self.state().step_ref(index);
        self.record_at(elapsed, Kind::UndoEnd(Box::new(UndoEnd { step, status, duration, message, error })))
    }

    /// Settles what is still running or being undone: its body was left by a panic, or by a future that was dropped.
    pub(crate) fn abandon(&mut self) {
        if !self.state().is_active() || self.is_broken() {
            return;
        }
        let reason = if std::thread::panicking() { Reason::Panicked } else { Reason::Dropped };
        let mut has_left_undo = false;
        for index in 0..self.state().steps().len() {
            let step = self.step(index);
            if step.status() == StepStatus::Running {
                self.cancel_step(index, Some(reason), abandoned());
            } else if step.undo() == Undo::Running {
                has_left_undo |= self.end_undo(index, UndoStatus::UndoFailed, None, Some(abandoned()));
            }
        }
        if has_left_undo {
            let record = halted(self.state());
            self.end(RunStatus::Stuck, Some(record));
        }
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
        secret: false,
        sealed: None,
    }
}
