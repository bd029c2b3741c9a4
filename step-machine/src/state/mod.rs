//! The state of a run: the fold of its events.
//!
//! [`RunState::apply`] is the one transition function: what it checks and what it does is what the writer, replay and
//! every reader go through, so they cannot disagree about what a legal run is.

mod check;
mod commit;
mod illegal;
mod plain;
mod rebase;
mod step;
#[cfg(test)]
pub(crate) mod walks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

pub(crate) use commit::Saved;
pub use illegal::{Illegal, IllegalReason};
pub use rebase::PlanChange;
pub use step::{StepState, TaskState, Undo};

use crate::event::{Event, FailureRecord, Kind, Parent, Progress, RunStart, RunStatus, StepRef, StepStatus, Text};
use crate::graph::Dependents;
use crate::run_id::RunId;
use crate::time::nanos;
use crate::workflow::{Plan, SharedPlan, Step, Workflow};

/// Where a run stands. Its size grows with the number of steps, never with the number of events.
///
/// # Examples
///
/// ```
/// use step_machine::{RunState, event::EventLines};
///
/// let journal = r#"
/// {"v":1,"run":"r","workflow":"w","seq":1,"at":"2026-01-01T00:00:00Z","elapsed_ms":0.0,"type":"run_start","plan":{"workflow":"w","steps":[{"id":"a","name":"A"}]}}
/// {"v":1,"run":"r","workflow":"w","seq":2,"at":"2026-01-01T00:00:01Z","elapsed_ms":1000.0,"type":"step_start","step":"a","attempt":1}
/// "#;
/// let events: Vec<_> = EventLines::new(journal.as_bytes()).collect::<Result<_, _>>()?;
/// let state = RunState::fold(&events)?.expect("there are events");
/// assert_eq!(state.step("a").unwrap().status().as_str(), "running");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    run: RunId,
    workflow: Text,
    plan: SharedPlan,
    // Boxed, as few runs have any.
    about: Option<Box<About>>,
    started_at: SystemTime,
    total_weight: TotalWeight,
    dependents: Dependents,
    steps: Vec<StepState>,
    counts: Counts,
    failure: Option<Box<FailureRecord>>,
}

/// Who started a run, and on what.
#[derive(Debug, Clone, PartialEq)]
struct About {
    parent: Option<Parent>,
    labels: BTreeMap<String, String>,
    input: Option<Value>,
}

/// The sum of the plan's weights, added up when it is first asked for: a run that nobody watches never does.
#[derive(Debug, Clone, Default)]
struct TotalWeight(OnceLock<f64>);

impl TotalWeight {
    fn of(&self, plan: &Plan) -> f64 {
        *self.0.get_or_init(|| plan.total_weight())
    }
}

impl PartialEq for TotalWeight {
    /// Follows from the plan, whether it was asked for yet or not.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What nearly every event moves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts {
    status: RunStatus,
    seq: u64,
    /// Nanoseconds since the run's first start.
    elapsed: u64,
    current: Option<usize>,
    /// How many steps are completed or skipped.
    settled: usize,
    /// How many steps run, or are being undone.
    active: usize,
    /// How many steps failed or were cancelled: while there are any, none may start.
    halted: usize,
    warnings: usize,
    thinned: u64,
    settled_weight: f64,
    /// The highest weight that was ever reached: progress never falls.
    reached_weight: f64,
}

/// A century: a longer estimate tells nobody anything, and some are too long to be read back from an event.
const LONGEST_ETA: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// When an event happened within its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) seq: u64,
    /// Nanoseconds since the run's first start.
    pub(crate) elapsed: u64,
}

impl RunState {
    /// The state of a run of `plan` after its first event.
    #[inline]
    pub(crate) fn new(run: RunId, plan: SharedPlan, started_at: SystemTime) -> Self {
        Self {
            run,
            workflow: match plan.as_static() {
                Some(plan) => Text::Borrowed(&plan.workflow),
                None => Text::Owned(plan.workflow.clone()),
            },
            about: None,
            started_at,
            total_weight: TotalWeight::default(),
            dependents: Dependents::default(),
            steps: plan.steps.iter().map(|_| StepState::default()).collect(),
            counts: Counts {
                status: RunStatus::Running,
                seq: 1,
                elapsed: 0,
                current: None,
                settled: 0,
                active: 0,
                halted: 0,
                warnings: 0,
                thinned: 0,
                settled_weight: 0.0,
                reached_weight: 0.0,
            },
            failure: None,
            plan,
        }
    }

    /// The state after a run's first event, which is its `run_start`.
    pub fn start(event: &Event) -> Result<Self, Illegal> {
        let illegal = |reason| Illegal::new(event.seq, &event.kind, reason);
        let Kind::RunStart(start) = &event.kind else {
            return Err(illegal(IllegalReason::NotStarted));
        };
        if event.seq != 1 {
            return Err(illegal(IllegalReason::OutOfSequence { expected: 1 }));
        }
        start.plan.check().map_err(|error| illegal(IllegalReason::Plan(error)))?;
        let mut state = Self::new(event.run.clone(), start.plan.clone(), event.at);
        state.workflow.clone_from(&event.workflow);
        state.counts.elapsed = nanos(event.elapsed);
        state.describe(start);
        Ok(state)
    }

    /// Takes over who started the run and on what.
    pub(crate) fn describe(&mut self, start: &RunStart) {
        let RunStart { parent, labels, input, .. } = start;
        let is_empty = parent.is_none() && labels.is_empty() && input.is_none();
        self.about = (!is_empty)
            .then(|| Box::new(About { parent: parent.clone(), labels: labels.clone(), input: input.clone() }));
    }

    /// The state after `event`, or why the event is not legal here.
    ///
    /// An event that is refused changes nothing.
    pub fn apply(mut self, event: &Event) -> Result<Self, Illegal> {
        self.advance(event)?;
        Ok(self)
    }

    /// [`apply`](Self::apply) in place; an event that is refused leaves the state as it was.
    pub fn advance(&mut self, event: &Event) -> Result<(), Illegal> {
        if event.run != self.run {
            return Err(Illegal::new(event.seq, &event.kind, IllegalReason::OtherRun { found: event.run.clone() }));
        }
        let stamp = Stamp { seq: event.seq, elapsed: nanos(event.elapsed) };
        let target = self.check(stamp, &event.kind)?;
        self.commit(stamp, &event.kind, target);
        Ok(())
    }

    /// Folds the events of one run, from its first; `None` where there are none.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Option<Self>, Illegal> {
        let mut events = events.into_iter();
        let Some(first) = events.next() else {
            return Ok(None);
        };
        let mut state = Self::start(first)?;
        for event in events {
            state.advance(event)?;
        }
        Ok(Some(state))
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The name of the run's workflow.
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// The step of another run that this one is nested in.
    pub fn parent(&self) -> Option<&Parent> {
        self.about.as_ref()?.parent.as_ref()
    }

    fn parent_mut(&mut self) -> Option<&mut Parent> {
        self.about.as_mut()?.parent.as_mut()
    }

    /// The plan that the run follows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn shared_plan(&self) -> &SharedPlan {
        &self.plan
    }

    /// Who started the run, for which ticket, and the like.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.about.as_ref().map_or(&NONE, |about| &about.labels)
    }

    /// What the run works on.
    pub fn input(&self) -> Option<&Value> {
        self.about.as_ref()?.input.as_ref()
    }

    /// The status of the run.
    pub fn status(&self) -> RunStatus {
        self.counts.status
    }

    /// When the run first started.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// The time of day `elapsed` nanoseconds after the run's start, to the microsecond as the start is.
    pub(crate) fn time_at(&self, elapsed: u64) -> SystemTime {
        self.started_at + Duration::from_micros(elapsed / 1_000)
    }

    /// The time from the run's first start to its last event.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.counts.elapsed)
    }

    /// The number of the last event.
    pub fn seq(&self) -> u64 {
        self.counts.seq
    }

    /// The steps in the order of the plan.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// The state of the step with this id.
    pub fn step(&self, id: &str) -> Option<&StepState> {
        self.plan.position(id).map(|index| &self.steps[index])
    }

    /// What a step handed on; `None` where it has not completed, or is a step of another workflow.
    ///
    /// Fails where what was recorded is not of the step's type any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::Workflow;
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     #[step(output = u16)]
    ///     Start,
    /// }
    ///
    /// let (run, _) = Deploy::machine().begin()?.step(deploy::Start, |_| Ok::<u16, std::io::Error>(8080))?;
    /// let report = run.finish()?;
    /// assert_eq!(report.state().output(deploy::Start)?, Some(8080));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output<S: Step>(&self, step: S) -> Result<Option<S::Output>, serde_json::Error> {
        self.read(step, StepState::output)
    }

    /// What of a step's outputs `find` finds, as the step's type.
    pub(crate) fn read<S: Step>(
        &self,
        step: S,
        find: impl FnOnce(&StepState) -> Option<&Value>,
    ) -> Result<Option<S::Output>, serde_json::Error> {
        let _ = step;
        if self.plan.workflow != S::Workflow::NAME {
            return Ok(None);
        }
        let Some(step) = self.step(S::STEP.id()) else { return Ok(None) };
        find(step).map(S::Output::deserialize).transpose().map_err(|error| step.misfit(error))
    }

    /// How many non-critical steps failed.
    pub fn warnings(&self) -> usize {
        self.counts.warnings
    }

    /// How many fractions that steps and tasks told became no event, as they came too fast.
    pub fn thinned(&self) -> u64 {
        self.counts.thinned
    }

    /// What is known of the failure, once the run ended with one; also while the run is being taken back for it.
    pub fn failure(&self) -> Option<&FailureRecord> {
        self.failure.as_deref()
    }

    /// The positions of the steps that were begun, can be undone and are not yet, newest first in the order of needs.
    pub fn to_undo(&self) -> Vec<usize> {
        self.newest_first((0..self.steps.len()).filter(|&index| self.wants_undo(index)))
    }

    /// Sorts positions into the order in which they are undone.
    pub(crate) fn newest_first(&self, positions: impl Iterator<Item = usize>) -> Vec<usize> {
        let ranks = self.undo_ranks();
        let mut positions: Vec<usize> = positions.collect();
        positions.sort_by_key(|&index| Reverse((ranks[index], index)));
        positions
    }

    /// For each step a number that rises with its first start, and is above those of the steps that it comes after.
    ///
    /// A step starts only after what it needs, so the two differ only where a new plan puts a step before one that had
    /// begun.
    fn undo_ranks(&self) -> Vec<(u64, usize)> {
        if !self.plan.parallel {
            return vec![(0, 0); self.steps.len()];
        }
        let mut ranks: Vec<_> = self.steps.iter().map(|step| (step.started_seq, 0)).collect();
        let places: HashMap<&str, usize> =
            self.plan.steps.iter().enumerate().map(|(index, step)| (step.id.as_str(), index)).collect();
        // Most steps stand after what they need, so one round does nearly all and the next one sees that it is done.
        for _ in &self.steps {
            let mut moved = false;
            for (index, step) in self.plan.steps.iter().enumerate() {
                for &need in step.needs.iter().filter_map(|need| places.get(need.as_str())) {
                    let least = (ranks[need].0, ranks[need].1 + 1);
                    if ranks[index] < least {
                        ranks[index] = least;
                        moved = true;
                    }
                }
            }
            if !moved {
                break;
            }
        }
        ranks
    }

    pub(crate) fn wants_undo(&self, index: usize) -> bool {
        self.plan.steps[index].undo && self.steps[index].has_begun() && !self.steps[index].undo_is_settled()
    }

    /// How far the run is.
    #[inline]
    pub fn progress(&self) -> Progress {
        let share = self.share();
        let current = self.counts.current.map(|index| self.step_ref(index));
        Progress {
            // Two decimals are finer than any screen and keep the JSON short.
            percentage: hundredths(share * 100.0),
            step_number: self.counts.current.map_or(0, |index| index + 1),
            total_steps: self.steps.len(),
            completed: self.counts.settled,
            current,
            eta: self.eta(share),
        }
    }

    fn share(&self) -> f64 {
        let total = self.total_weight.of(&self.plan);
        if self.counts.settled == self.steps.len() || total <= 0.0 {
            1.0
        } else {
            (self.counts.reached_weight / total).clamp(0.0, 1.0)
        }
    }

    /// The time that remains if the rest goes as fast as what is done.
    fn eta(&self, share: f64) -> Option<Duration> {
        if share <= 0.0 || self.counts.status != RunStatus::Running {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate; a cast from a float stays within the range of the integer"
        )]
        let nanos = (self.counts.elapsed as f64 * (1.0 - share) / share) as u64;
        Some(Duration::from_nanos(nanos)).filter(|eta| *eta <= LONGEST_ETA)
    }

    pub(crate) fn step_ref(&self, index: usize) -> StepRef {
        match self.plan.as_static() {
            Some(plan) => StepRef::at(&plan.steps[index].id, index),
            None => StepRef::new(self.plan.steps[index].id.clone()),
        }
    }

    /// The step that stopped the run: of those that failed the first one in time, or else of those that were cancelled.
    pub(crate) fn halted_step(&self) -> Option<usize> {
        if self.counts.halted == 0 {
            return None;
        }
        let first = |status| {
            let stopped = (0..self.steps.len()).filter(|&index| self.steps[index].failed_status() == Some(status));
            stopped.min_by_key(|&index| self.steps[index].attempt_ended().unwrap_or(u64::MAX))
        };
        first(StepStatus::Failed).or_else(|| first(StepStatus::Cancelled))
    }

    /// How a run ends that is left where it is.
    pub(crate) fn halted_status(&self) -> RunStatus {
        let failed = |step: &StepState| step.failed_status() == Some(StepStatus::Failed);
        if self.counts.halted > 0 && self.steps.iter().any(failed) { RunStatus::Failed } else { RunStatus::Cancelled }
    }

    /// Whether a step runs, or is being undone.
    pub(crate) fn is_active(&self) -> bool {
        self.counts.active > 0
    }

    pub(crate) fn workflow_text(&self) -> Text {
        self.workflow.clone()
    }
}

/// Cuts a positive number to two decimals, to the nearer one.
fn hundredths(number: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage is small and positive")]
    let rounded = (number * 100.0 + 0.5) as u32;
    f64::from(rounded) / 100.0
}
