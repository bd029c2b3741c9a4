//! A run that begins as a copy of another one.

use super::{Hold, Opening, fits};
use crate::event::Forked;
use crate::journal::JournalError;
use crate::recorder::Recorder;
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{SharedPlan, Workflow};

impl Opening {
    /// Begins a run that takes over what `source` settled before the step at `from`.
    pub(super) fn copy<W: Workflow>(
        mut self,
        run: RunId,
        source: Option<RunState>,
        from: usize,
        plan: SharedPlan,
        hold: Option<Hold>,
    ) -> Result<Box<Recorder>, JournalError> {
        let Some(mut source) = source else { return Err(JournalError::NotFound { run }) };
        fits(W::NAME, &source, &plan)?;
        source.rebase(plan.clone());
        let again = source.after(from);
        self.more().forked = Some(Forked { run, step: source.step_ref(from) });
        let (mut recorder, start) = self.unannounced(plan, hold);
        // In one: a run that the journal has without what it took over would do all of that again.
        let mut told = Ok(());
        recorder.together(|recorder| {
            told = start.map_or(Ok(()), |start| recorder.announce(start));
            told.is_ok() && recorder.take_over(&source, |index| !again[index])
        });
        told?;
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}

impl Recorder {
    /// Settles what `source` has settled, in the order in which it did; of the same plan. What needs a step that is not
    /// settled, or comes after one in a sequence, is left.
    fn take_over(&mut self, source: &RunState, wanted: impl Fn(usize) -> bool) -> bool {
        let mut settled: Vec<usize> = (0..source.steps().len())
            .filter(|&index| wanted(index) && source.steps()[index].status().is_settled())
            .collect();
        if source.plan().parallel {
            settled.sort_by_key(|&index| source.steps()[index].ended());
        }
        // One turn is enough, but where a step needs another one now that was settled after it.
        loop {
            let count = settled.len();
            let mut left = Vec::new();
            for index in settled {
                if self.state().blocker(index).is_some() {
                    left.push(index);
                } else if !self.settle_as_in(source, index) {
                    return false;
                }
            }
            if left.is_empty() || left.len() == count {
                return true;
            }
            settled = left;
        }
    }

    fn settle_as_in(&mut self, source: &RunState, index: usize) -> bool {
        let step = &source.steps()[index];
        let output = step.output().cloned().map(Box::new);
        let skipped_because = step.skipped_because().map(|why| why.to_owned().into());
        self.settle_forked(index, step.status(), skipped_because, output)
    }
}
