//! A run that goes on: what was done before is shown as done.

use std::io::Write;
use std::time::Instant;

use step_machine::event::{Event, RunResume, StepStatus, UndoStatus};
use step_machine::{RunState, StepState, Undo};

use super::{Screen, Told, seconds};

impl<W: Write + Send> Screen<W> {
    /// Says which run goes on, how far it is, and what is settled already.
    pub(super) fn goes_on(&mut self, event: &Event, resume: &RunResume) {
        let (run, before) = (event.run.clone(), self.before.remove(&event.run));
        let known = before.as_ref().map(RunState::plan);
        let Some(plan) = resume.plan.as_deref().or(known).cloned() else { return };
        let parent = before.as_ref().and_then(|state| state.parent().cloned());
        let depth = parent.as_ref().map_or(0, |parent| self.enter(parent));
        if depth == 0 {
            self.begun = Instant::now();
            let (way, done) = (if resume.rollback { " backwards" } else { "" }, event.progress.as_ref());
            let done = done.map_or(0, |progress| progress.completed);
            let (workflow, total) = (&event.workflow, plan.steps.len());
            self.line(&format!("{workflow}: run {run} goes on{way}, {done} of {total} steps are completed"));
        }
        self.runs.retain(|told| told.run != run);
        self.runs.push(Told { run, plan, depth, news: Vec::new() });
        if let Some(before) = before {
            self.show(&before, resume);
        }
    }

    fn show(&self, before: &RunState, resume: &RunResume) {
        for (step, info) in before.steps().iter().zip(&before.plan().steps) {
            let is_again = resume.again.iter().any(|again| again.id() == info.id);
            if let Some((mark, more)) = settled(step).filter(|_| !is_again)
                && let Some(head) = self.head(mark, before.run(), &info.id)
            {
                self.line(&format!("{head}  {}  {more}", seconds(step.duration().unwrap_or_default())));
            }
        }
    }
}

/// How a line tells of a step that was settled before; `None` for one that was not.
fn settled(step: &StepState) -> Option<(char, String)> {
    if let Undo::Ended(UndoStatus::Undone) = step.undo() {
        return Some(('↶', "undone before".to_owned()));
    }
    match (step.status(), step.error()) {
        (StepStatus::Completed, _) => Some(('✓', "done before".to_owned())),
        (StepStatus::Skipped, Some(error)) => {
            Some(('!', format!("warning before ({}): {}", error.kind, error.message)))
        }
        (StepStatus::Skipped, None) => {
            Some(('-', format!("skipped before: {}", step.skipped_because().unwrap_or_default())))
        }
        _ => None,
    }
}
