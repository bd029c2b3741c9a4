//! Which steps may start: a function of the plan and of what is settled.

use std::collections::VecDeque;
use std::ops::Range;

use crate::graph::{up_to, waits_for};
use crate::state::RunState;

/// The steps that may start, in declared order where nothing else decides.
pub(crate) enum Ready {
    /// One after the other: those that are left of a sequence, or all of a plan whose steps need nothing.
    Line(Range<usize>),
    // Boxed, as it is larger than all that most runs need.
    Graph(Box<Graph>),
}

/// What waits for what.
pub(crate) struct Graph {
    /// For each step how many of those it waits for are not settled; `None` where it is not to run.
    waiting: Vec<Option<usize>>,
    /// For each step those that wait for it.
    dependents: Vec<Vec<usize>>,
    queue: VecDeque<usize>,
}

impl Ready {
    /// What is left to run of a run at `state`, as far as `until`.
    pub(crate) fn new(state: &RunState, until: Option<usize>) -> Self {
        if state.plan().parallel && (until.is_some() || !is_untouched_and_free(state)) {
            return Self::Graph(Box::new(Graph::new(state, until)));
        }
        let end = until.map_or(state.steps().len(), |last| last + 1);
        let first = state.steps().iter().position(|step| !step.status().is_settled());
        Self::Line(first.unwrap_or(end).min(end)..end)
    }

    /// Whether nothing was left to run from the start.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Line(left) => left.is_empty(),
            Self::Graph(graph) => graph.waiting.iter().all(Option::is_none),
        }
    }

    /// The next step that may start; each is handed out once. In a sequence the caller waits for one before the next.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        match self {
            Self::Line(left) => left.next(),
            Self::Graph(graph) => graph.queue.pop_front(),
        }
    }

    /// Takes in that a step is settled.
    #[inline]
    pub(crate) fn settled(&mut self, index: usize) {
        if let Self::Graph(graph) = self {
            graph.settled(index);
        }
    }
}

/// Whether all steps may start, and none has: then there is nothing to keep count of.
fn is_untouched_and_free(state: &RunState) -> bool {
    let mut steps = state.plan().steps.iter().zip(state.steps());
    steps.all(|(info, step)| info.needs.is_empty() && !step.status().is_settled())
}

impl Graph {
    fn new(state: &RunState, until: Option<usize>) -> Self {
        let plan = state.plan();
        let waits_for = waits_for(plan);
        let wanted = until.map_or_else(|| vec![true; waits_for.len()], |last| up_to(plan, last));
        let settled = |index: usize| state.steps()[index].status().is_settled();
        let mut graph = Self {
            waiting: vec![None; waits_for.len()],
            dependents: vec![Vec::new(); waits_for.len()],
            queue: VecDeque::new(),
        };
        for (index, needs) in waits_for.iter().enumerate().filter(|&(index, _)| wanted[index] && !settled(index)) {
            let mut open = 0;
            for &need in needs.iter().filter(|&&need| !settled(need)) {
                graph.dependents[need].push(index);
                open += 1;
            }
            if open == 0 {
                graph.queue.push_back(index);
            }
            graph.waiting[index] = Some(open);
        }
        graph
    }

    fn settled(&mut self, index: usize) {
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
