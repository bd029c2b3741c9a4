//! Which steps may start: a function of the plan and of what is settled.

use std::collections::VecDeque;

use crate::graph::{up_to, waits_for};
use crate::state::RunState;

/// The steps that may start, in declared order where nothing else decides.
pub(crate) struct Ready {
    /// For each step how many of those it waits for are not settled; `None` where it is not to run.
    waiting: Vec<Option<usize>>,
    /// For each step those that wait for it.
    dependents: Vec<Vec<usize>>,
    queue: VecDeque<usize>,
}

impl Ready {
    /// What is left to run of a run at `state`, as far as `until`.
    pub(crate) fn new(state: &RunState, until: Option<usize>) -> Self {
        let plan = state.plan();
        let needs = waits_for(plan);
        let wanted = until.map_or_else(|| vec![true; needs.len()], |last| up_to(plan, last));
        let settled = |index: usize| state.steps()[index].status().is_settled();
        let mut dependents = vec![Vec::new(); needs.len()];
        let mut waiting = vec![None; needs.len()];
        let mut queue = VecDeque::new();
        for (index, needs) in needs.iter().enumerate().filter(|&(index, _)| wanted[index] && !settled(index)) {
            let open: Vec<usize> = needs.iter().copied().filter(|&need| !settled(need)).collect();
            for &need in &open {
                dependents[need].push(index);
            }
            if open.is_empty() {
                queue.push_back(index);
            }
            waiting[index] = Some(open.len());
        }
        Self { waiting, dependents, queue }
    }

    /// Whether nothing was left to run from the start.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.iter().all(Option::is_none)
    }

    /// The next step that may start; each is handed out once.
    pub(crate) fn next(&mut self) -> Option<usize> {
        self.queue.pop_front()
    }

    /// Takes in that a step is settled.
    pub(crate) fn settled(&mut self, index: usize) {
        for dependent in std::mem::take(&mut self.dependents[index]) {
            if let Some(open) = &mut self.waiting[dependent] {
                *open -= 1;
                if *open == 0 {
                    self.queue.push_back(dependent);
                }
            }
        }
    }
}
