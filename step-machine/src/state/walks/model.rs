//! Where a run stands, kept in the simplest way that can be compared with the state under test.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::edit::Edit;
use super::moves::{Act, Move};
use crate::event::{Reason, RunStatus, StepStatus, TaskStatus, UndoStatus};
use crate::state::{RunState, Undo};
use crate::workflow::Plan;

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) plan: Plan,
    pub(super) run: RunStatus,
    pub(super) lives: Vec<Life>,
    /// How many steps have ended.
    ends: u32,
    /// `builds_on[later][earlier]`: directly or by way of others.
    builds_on: Vec<Vec<bool>>,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Life {
    pub(super) status: StepStatus,
    pub(super) waiting: bool,
    pub(super) interrupted: bool,
    pub(super) attempts: u32,
    pub(super) undo: Undo,
    pub(super) undo_attempts: u32,
    /// How the step stopped the run.
    pub(super) stopped: Option<StepStatus>,
    /// As which of all its last attempt has ended, if it has.
    ended: Option<u32>,
    /// The tasks of the attempt that goes on or was the last.
    pub(super) tasks: BTreeMap<u8, (TaskStatus, f64)>,
    fraction: f64,
    warned: bool,
}

impl Life {
    fn new() -> Self {
        Self {
            status: StepStatus::Pending,
            waiting: false,
            interrupted: false,
            attempts: 0,
            undo: Undo::None,
            undo_attempts: 0,
            stopped: None,
            ended: None,
            tasks: BTreeMap::new(),
            fraction: 0.0,
            warned: false,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.status == StepStatus::Running || self.undo == Undo::Running
    }

    pub(super) fn is_reached(&self) -> bool {
        self.status != StepStatus::Pending || self.attempts > 0
    }

    pub(super) fn is_settled(&self) -> bool {
        self.status.is_settled()
    }
}

impl Model {
    pub(super) fn new(plan: Plan) -> Self {
        let lives = vec![Life::new(); plan.steps.len()];
        Self { lives, run: RunStatus::Running, ends: 0, builds_on: closure(&plan), plan }
    }

    /// Whether nothing can follow any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.run, RunStatus::Completed | RunStatus::RolledBack)
    }

    pub(super) fn is_backward(&self) -> bool {
        matches!(self.run, RunStatus::RollingBack | RunStatus::Stuck)
    }

    pub(super) fn builds_on(&self, later: usize, earlier: usize) -> bool {
        self.builds_on[later][earlier]
    }

    pub(super) fn id(&self, at: usize) -> String {
        self.plan.steps[at].id.clone()
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        0..self.lives.len()
    }

    /// The steps that run again where `from` does, but for one.
    pub(super) fn again(&self, from: usize, without: Option<usize>) -> impl Iterator<Item = usize> {
        let runs_again = move |at: &usize| *at == from || self.builds_on(*at, from);
        self.all().filter(runs_again).filter(move |at| Some(*at) != without && self.lives[*at].is_reached())
    }

    /// The step that stopped the run: the first that failed, or else the first that was cancelled.
    pub(super) fn stopper(&self) -> Option<usize> {
        let stopped = |status| {
            let all = self.all().filter(|&at| self.lives[at].stopped == Some(status));
            all.min_by_key(|&at| self.lives[at].ended.unwrap_or(u32::MAX))
        };
        stopped(StepStatus::Failed).or_else(|| stopped(StepStatus::Cancelled))
    }

    pub(super) fn wants_undo(&self, at: usize) -> bool {
        let life = &self.lives[at];
        let over = matches!(life.undo, Undo::Ended(UndoStatus::Undone | UndoStatus::Skipped));
        self.plan.steps[at].undo && life.attempts > 0 && !over
    }

    /// Makes a move that was judged legal.
    pub(super) fn make(&mut self, next: &Move) {
        match next {
            Move::Unknown | Move::StartAgain => {}
            Move::EndRun(status) => self.run = *status,
            Move::Resume { rollback, edit } => self.resume(*rollback, edit.as_ref()),
            Move::Again { from, without } => {
                for at in self.again(*from, *without).collect::<Vec<_>>() {
                    self.lives[at].begin_anew();
                }
                self.resume(false, None);
            }
            Move::Step(at, act) => {
                if matches!(act, Act::UndoStart { .. } | Act::UndoEnd(_)) {
                    self.run = RunStatus::RollingBack;
                }
                self.lives[*at].act(*act);
                if matches!(act, Act::End { .. }) {
                    self.ends += 1;
                    self.lives[*at].ended = Some(self.ends);
                }
            }
        }
    }

    fn resume(&mut self, rollback: bool, edit: Option<&Edit>) {
        if let Some(edit) = edit {
            let (plan, origins) = edit.edited(&self.plan);
            let life = |origin: &Option<usize>| origin.map_or_else(Life::new, |at| self.lives[at].clone());
            self.lives = origins.iter().map(life).collect();
            self.builds_on = closure(&plan);
            self.plan = plan;
        }
        self.run = if rollback { RunStatus::RollingBack } else { RunStatus::Running };
        for life in &mut self.lives {
            life.resume(rollback);
        }
    }

    /// What differs between the model and the state; empty where they agree.
    pub(super) fn differences(&self, state: &RunState) -> Vec<String> {
        fn differ<T: PartialEq + Debug>(found: &mut Vec<String>, model: &T, state: &T) {
            if model != state {
                found.push(format!("{model:?} in the model, {state:?} in the state"));
            }
        }
        let found = &mut Vec::new();
        let count = |is: fn(&Life) -> bool| self.lives.iter().filter(|life| is(life)).count();
        differ(found, &self.plan, state.plan());
        differ(found, &self.stopper(), &state.halted_step());
        differ(found, &self.run, &state.status());
        differ(found, &count(Life::is_settled), &state.progress().completed);
        differ(found, &count(|life| life.warned), &state.warnings());
        let mut to_undo = state.to_undo();
        to_undo.sort_unstable();
        differ(found, &self.all().filter(|&at| self.wants_undo(at)).collect(), &to_undo);
        for (life, step) in self.lives.iter().zip(state.steps()) {
            let tasks = step.tasks().iter().map(|task| (task.id.parse().unwrap(), (task.status, task.fraction)));
            let seen = Life {
                status: step.status(),
                waiting: step.is_waiting(),
                interrupted: step.is_interrupted(),
                attempts: step.attempts(),
                undo: step.undo(),
                undo_attempts: step.undo_attempts(),
                tasks: tasks.collect(),
                fraction: life.fraction,
                stopped: life.stopped,
                ended: life.ended,
                warned: life.warned,
            };
            differ(found, life, &seen);
            differ(found, &if life.is_settled() { 1.0 } else { life.fraction }, &step.fraction());
        }
        std::mem::take(found)
    }
}

impl Life {
    fn act(&mut self, act: Act) {
        match act {
            Act::Line | Act::Stalled => {}
            Act::Update(fraction) => self.fraction = fraction.unwrap_or(self.fraction),
            Act::Start { attempt } => {
                self.status = StepStatus::Running;
                self.attempts = attempt;
                self.waiting = false;
                self.ended = None;
                self.tasks.clear();
            }
            Act::Retry { .. } => {
                self.waiting = true;
                self.fraction = 0.0;
            }
            Act::End { status, reason, .. } => {
                self.status = status;
                self.waiting = false;
                self.interrupted &= match status {
                    StepStatus::Completed => false,
                    StepStatus::Skipped => reason == Some(Reason::Failed),
                    _ => true,
                };
                self.fraction = if status.is_settled() { 0.0 } else { self.fraction };
                self.stopped = (!status.is_settled()).then_some(status);
                self.warned = reason == Some(Reason::Failed) && status == StepStatus::Skipped;
            }
            Act::TaskStart(task) => self.task(task, TaskStatus::Running, None),
            Act::TaskUpdate(task, fraction) => self.task(task, TaskStatus::Running, fraction),
            Act::TaskEnd(task, status) => {
                self.task(task, status, Some(1.0).filter(|_| status == TaskStatus::Completed));
            }
            Act::UndoStart { attempt } => {
                self.undo = Undo::Running;
                self.undo_attempts = attempt;
                self.waiting = false;
                self.tasks.clear();
            }
            Act::UndoEnd(status) => {
                self.undo = Undo::Ended(status);
                self.waiting = false;
                match status {
                    UndoStatus::Undone => {
                        self.status = StepStatus::Undone;
                        self.interrupted = false;
                    }
                    UndoStatus::UndoFailed => self.status = StepStatus::UndoFailed,
                    UndoStatus::Skipped => {}
                }
            }
        }
    }

    fn task(&mut self, task: u8, status: TaskStatus, fraction: Option<f64>) {
        let known = self.tasks.entry(task).or_insert((status, 0.0));
        *known = (status, fraction.unwrap_or(known.1));
        // Few tasks with fractions of sixty-fourths: exact.
        let sum: f64 = self.tasks.values().map(|(_, fraction)| fraction).sum();
        self.fraction = sum / f64::from(u8::try_from(self.tasks.len()).unwrap());
    }

    fn begin_anew(&mut self) {
        self.cut_off();
        self.status = StepStatus::Pending;
        self.waiting = false;
        self.tasks.clear();
        self.fraction = 0.0;
        self.stopped = None;
        self.warned = false;
    }

    /// Where its last attempt is not known to have ended, the next one is told.
    fn cut_off(&mut self) {
        let running = self.status == StepStatus::Running;
        self.interrupted |= (running && !self.waiting) || self.status == StepStatus::Cancelled;
    }

    fn resume(&mut self, rollback: bool) {
        let running = self.status == StepStatus::Running;
        self.cut_off();
        self.waiting = false;
        if self.undo == Undo::Running {
            self.undo = Undo::Ended(UndoStatus::UndoFailed);
        } else if running && rollback {
            self.status = StepStatus::Cancelled;
            self.stopped = Some(StepStatus::Cancelled);
        } else if !rollback && !self.is_settled() {
            self.status = StepStatus::Pending;
            self.fraction = 0.0;
            self.stopped = None;
        }
    }
}

fn closure(plan: &Plan) -> Vec<Vec<bool>> {
    let count = plan.steps.len();
    let mut on: Vec<Vec<bool>> = (0..count)
        .map(|later| {
            let needs = |earlier: usize| plan.steps[later].needs.contains(&plan.steps[earlier].id);
            (0..count).map(|earlier| if plan.parallel { needs(earlier) } else { earlier < later }).collect()
        })
        .collect();
    for by in 0..count {
        for later in 0..count {
            for earlier in 0..count {
                on[later][earlier] |= on[later][by] && on[by][earlier];
            }
        }
    }
    on
}
