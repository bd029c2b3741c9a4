//! The usual transitions of a run without a journal, done without an event that decides.
//!
//! These are shortcuts of [`check`](RunState::check) and [`commit`](RunState::commit) for the cases where the answer is
//! plain at a glance; anything else goes the long way. The tests in `walks` hold both ways to the same state.

use super::RunState;
use crate::event::{RunStatus, StepStatus};

impl RunState {
    /// Begins the next step of a sequence, or one that needs nothing. `false` where an event has to decide; then nothing has changed.
    #[inline]
    pub(crate) fn start_plainly(&mut self, index: usize, elapsed: u64) -> bool {
        let counts = &mut self.counts;
        let Some(step) = self.steps.get_mut(index) else { return false };
        let is_next =
            if self.plan.parallel { self.plan.steps[index].needs.is_empty() } else { counts.settled == index };
        let is_plain =
            is_next && counts.halted == 0 && counts.status == RunStatus::Running && step.status == StepStatus::Pending;
        if !is_plain || step.attempts != 0 || elapsed < counts.elapsed {
            return false;
        }
        counts.seq += 1;
        counts.elapsed = elapsed;
        counts.active += 1;
        counts.current = Some(index);
        step.status = StepStatus::Running;
        step.attempts = 1;
        step.started = elapsed;
        step.started_seq = counts.seq;
        step.attempt_started = elapsed;
        true
    }

    /// Completes a step without an output. `false` where an event has to decide; then nothing has changed.
    #[inline]
    pub(crate) fn complete_plainly(&mut self, index: usize, elapsed: u64) -> bool {
        let counts = &mut self.counts;
        let Some(step) = self.steps.get_mut(index) else { return false };
        let is_plain = counts.status == RunStatus::Running && step.status == StepStatus::Running && counts.active == 1;
        if !is_plain || step.waiting || step.details.is_some() || elapsed < counts.elapsed {
            return false;
        }
        counts.seq += 1;
        counts.elapsed = elapsed;
        counts.active = 0;
        counts.settled += 1;
        counts.settled_weight += self.plan.steps[index].weight;
        if counts.settled_weight > counts.reached_weight {
            counts.reached_weight = counts.settled_weight;
        }
        step.status = StepStatus::Completed;
        step.interrupted = false;
        step.ended = elapsed;
        step.fraction = 0.0;
        true
    }

    /// Completes the run. `false` where an event has to decide; then nothing has changed.
    #[inline]
    pub(crate) fn finish_plainly(&mut self, elapsed: u64) -> bool {
        let counts = &mut self.counts;
        let is_plain = counts.status == RunStatus::Running && counts.active == 0;
        if !is_plain || counts.settled != self.steps.len() || elapsed < counts.elapsed {
            return false;
        }
        counts.seq += 1;
        counts.elapsed = elapsed;
        counts.status = RunStatus::Completed;
        true
    }
}
