//! How long the rest of a run takes: by what its steps took in earlier runs, and by how this run compares with them.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use crate::event::{Event, Kind, Reason, RunStatus, StepStatus};
use crate::graph::waits_for;
use crate::state::{RunState, StepState};
use crate::time::nanos;
use crate::workflow::Plan;

/// How much the earlier runs weigh against this one, as a share of the time that they took: what this run has shown
/// counts half once a quarter of the work is done.
const DAMPING: f64 = 0.25;

/// By how much this run may differ from the earlier ones. Beyond that something else took the time: a process that was
/// away, a debugger.
const PACE: (f64, f64) = (0.25, 4.0);

/// What is left, at least, of a step that takes longer than expected, as a share of what was expected.
const OVERDUE: f64 = 0.1;

/// What each step of a plan took in one run, in nanoseconds; `None` where it did no work.
pub(crate) type Took = Vec<Option<u64>>;

/// What the steps of `plan` took in the run with these events; `None` where that run had other steps.
pub(crate) fn took(plan: &Plan, events: &[Event]) -> Option<Took> {
    let theirs = events.iter().rev().find_map(|event| match &event.kind {
        Kind::RunStart(start) => Some(&*start.plan),
        Kind::RunResume(resume) => resume.plan.as_deref(),
        _ => None,
    })?;
    let ids = |plan: &Plan| plan.steps.iter().map(|step| step.id.clone()).collect::<HashSet<_>>();
    if theirs.workflow != plan.workflow || ids(theirs) != ids(plan) {
        return None;
    }
    let mut took = vec![None; plan.steps.len()];
    for event in events {
        let Kind::StepEnd(end) = &event.kind else { continue };
        let has_worked = end.status == StepStatus::Completed && end.attempt > 0 && end.reason != Some(Reason::Forked);
        if let Some(index) = plan.position(end.step.id()) {
            took[index] = has_worked.then(|| nanos(end.duration));
        }
    }
    Some(took)
}

/// What is expected of the steps of a plan.
#[derive(Debug)]
pub(crate) struct Estimator {
    /// Nanoseconds.
    expected: Vec<f64>,
    total: f64,
    waits_for: Vec<Vec<usize>>,
    /// The positions of the steps, each after all that it waits for.
    order: Vec<usize>,
}

impl Estimator {
    /// By what earlier runs of `plan` took; `None` where they tell nothing.
    pub(crate) fn new(plan: &Plan, runs: &[Took]) -> Option<Self> {
        let medians: Vec<Option<f64>> = (0..plan.steps.len()).map(|index| median_of(runs, index)).collect();
        let known = || plan.steps.iter().zip(&medians).filter_map(|(step, median)| Some((step.weight, (*median)?)));
        let weight: f64 = known().map(|(weight, _)| weight).sum();
        if weight <= 0.0 {
            return None;
        }
        // A step without a history takes as long as its weight says, beside those that have one.
        let rate = known().map(|(_, median)| median).sum::<f64>() / weight;
        let by_weight = |step: &crate::workflow::StepInfo| step.weight * rate;
        let expected: Vec<f64> =
            plan.steps.iter().zip(medians).map(|(step, median)| median.unwrap_or_else(|| by_weight(step))).collect();
        let waits_for = waits_for(plan);
        Some(Self { total: expected.iter().sum(), order: ordered(&waits_for), expected, waits_for })
    }

    /// The time that remains: along the longest of the ways that the steps have to go one after the other. `None` where
    /// nothing is to be said.
    pub(crate) fn remaining(&self, state: &RunState) -> Option<Duration> {
        if state.status() != RunStatus::Running || state.steps().len() != self.expected.len() {
            return None;
        }
        let now = nanos(state.elapsed());
        let pace = self.pace(state.steps(), now);
        let mut ends = vec![0.0_f64; self.expected.len()];
        let mut last = 0.0_f64;
        for &index in &self.order {
            let begins = self.waits_for[index].iter().map(|&before| ends[before]).fold(0.0, f64::max);
            ends[index] = begins + left(&state.steps()[index], self.expected[index] * pace, now);
            last = last.max(ends[index]);
        }
        Duration::try_from_secs_f64(last / 1e9).ok()
    }

    /// How many times as long this run takes as the earlier ones did, by its steps that are done, and by what those that
    /// run tell of themselves.
    fn pace(&self, steps: &[StepState], now: u64) -> f64 {
        let (mut actual, mut expected) = (0.0, 0.0);
        for (step, span) in steps.iter().zip(&self.expected) {
            let (spent, done) = shown(step, now);
            actual += spent;
            expected += done * span;
        }
        let before = DAMPING * self.total;
        if expected + before <= 0.0 {
            return 1.0;
        }
        ((actual + before) / (expected + before)).clamp(PACE.0, PACE.1)
    }
}

/// How long a step has worked, and what share of its work that was; nothing where it does not say.
fn shown(step: &StepState, now: u64) -> (f64, f64) {
    match (step.status(), step.duration()) {
        (StepStatus::Completed, Some(duration)) if step.reason() != Some(Reason::Forked) => {
            (float(nanos(duration)), 1.0)
        }
        (StepStatus::Running, _) if step.fraction() > 0.0 && !step.is_waiting() => {
            (float(now.saturating_sub(step.attempt_started())), step.fraction())
        }
        _ => (0.0, 0.0),
    }
}

/// What is left of a step that takes `expected` as a whole.
fn left(step: &StepState, expected: f64, now: u64) -> f64 {
    match step.status() {
        StepStatus::Pending => expected,
        StepStatus::Running if step.is_waiting() => {
            let wait = step.next_attempt().map_or(0, |next| nanos(next).saturating_sub(now));
            float(wait) + expected
        }
        StepStatus::Running => {
            let spent = float(now.saturating_sub(step.attempt_started()));
            let by_history = (expected - spent).max(expected * OVERDUE);
            let done = step.fraction();
            if done <= 0.0 {
                return by_history;
            }
            // What the step tells of itself counts the more the further it is.
            let by_itself = spent * (1.0 - done) / done;
            by_itself * done + by_history * (1.0 - done)
        }
        _ => 0.0,
    }
}

fn median_of(runs: &[Took], index: usize) -> Option<f64> {
    let mut spans: Vec<u64> = runs.iter().filter_map(|run| *run.get(index)?).collect();
    spans.sort_unstable();
    let middle = spans.len() / 2;
    let upper = *spans.get(middle)?;
    let lower = if spans.len().is_multiple_of(2) { spans[middle - 1] } else { upper };
    Some(f64::midpoint(float(lower), float(upper)))
}

/// The positions, each after those that it waits for; a checked plan has no circle.
fn ordered(waits_for: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(waits_for.len());
    let mut is_placed = vec![false; waits_for.len()];
    let mut has_more = true;
    while has_more {
        has_more = false;
        for index in 0..waits_for.len() {
            if !is_placed[index] && waits_for[index].iter().all(|&before| is_placed[before]) {
                is_placed[index] = true;
                order.push(index);
                has_more = true;
            }
        }
    }
    order
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(nanos: u64) -> f64 {
    nanos as f64
}
