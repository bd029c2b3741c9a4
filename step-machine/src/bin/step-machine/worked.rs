//! How long a run and its steps were at work: without the time when no process drove the run.

use std::time::Duration;

use step_machine::Plan;
use step_machine::event::{Event, Kind};

pub(crate) struct Worked {
    /// In all processes that drove the run, each from its first event to its last.
    pub(crate) run: Duration,
    /// In the order of the plan: from the first attempt in the process where the step ended last; `None` where none began.
    pub(crate) steps: Vec<Option<Duration>>,
}

impl Worked {
    pub(crate) fn of(plan: &Plan, events: &[Event]) -> Self {
        let (mut run, mut begun, mut last) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut started = vec![None; plan.steps.len()];
        let mut steps = started.clone();
        for event in events {
            match &event.kind {
                Kind::RunResume(_) => {
                    run += last.saturating_sub(begun);
                    begun = event.elapsed;
                    started.fill(None);
                }
                Kind::StepStart(start) => {
                    if let Some(index) = plan.position(start.step.id()) {
                        started[index].get_or_insert(event.elapsed);
                    }
                }
                Kind::StepEnd(end) => {
                    if let Some(index) = plan.position(end.step.id()) {
                        steps[index] = started[index].map(|at| event.elapsed.saturating_sub(at));
                    }
                }
                _ => {}
            }
            last = event.elapsed;
        }
        Self { run: run + last.saturating_sub(begun), steps }
    }
}
