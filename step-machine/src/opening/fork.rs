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
        let mut recorder = self.start(plan, hold)?;
        recorder.take_over(&source, |index| !again[index]);
        match recorder.take_fault() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }
}

impl Recorder {
    /// Settles what `source` has settled, in the order in which it did; of the same plan.
    fn take_over(&mut self, source: &RunState, wanted: impl Fn(usize) -> bool) {
        let mut settled: Vec<usize> = (0..source.steps().len())
            .filter(|&index| wanted(index) && source.steps()[index].status().is_settled())
            .collect();
        // In a sequence the order of the plan; a step beside others settled after all that it needs.
        if source.plan().parallel {
            settled.sort_by_key(|&index| source.steps()[index].ended());
        }
        self.together(|recorder| settled.into_iter().all(|index| recorder.settle_as_in(source, index)));
    }

    fn settle_as_in(&mut self, source: &RunState, index: usize) -> bool {
        let step = &source.steps()[index];
        let output = step.output().cloned().map(Box::new);
        let skipped_because = step.skipped_because().map(|why| why.to_owned().into());
        self.settle_forked(index, step.status(), skipped_because, output)
    }
}
