//! What may happen in a run, in short form, and the event that says it at length.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use serde_json::{Map, json};

use super::edit::Edit;
use super::model::Model;
use crate::event::{
    Effect, ErrorRecord, FailureRecord, Kind, Level, OutputLine, Reason, RunEnd, RunResume, RunStart, RunStatus,
    Stalled, StepEnd, StepRef, StepRetry, StepStart, StepStatus, StepUpdate, TaskEnd, TaskStart, TaskStatus,
    TaskUpdate, UndoEnd, UndoStart, UndoStatus, Unknown,
};
use crate::state::Undo;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Move {
    /// A second `run_start`.
    StartAgain,
    Resume {
        rollback: bool,
        edit: Option<Edit>,
    },
    /// A resumption from which on the step `from`, and all that comes after it, runs again; without one of them.
    Again {
        from: usize,
        without: Option<usize>,
    },
    EndRun(RunStatus),
    /// An event of a type from the future.
    Unknown,
    Step(usize, Act),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    Start { attempt: u32 },
    Retry { attempt: u32 },
    End { status: StepStatus, reason: Option<Reason>, attempt: u32 },
    Update(Option<f64>),
    Line,
    Stalled,
    TaskStart(u8),
    TaskUpdate(u8, Option<f64>),
    TaskEnd(u8, TaskStatus),
    UndoStart { attempt: u32 },
    UndoEnd(UndoStatus),
}

/// Moves that are drawn together, so that the many kinds of news do not drown the rest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    Start,
    News,
    Retry,
    End,
    UndoStart,
    UndoEnd,
    Resume,
    EndRun,
}

impl Class {
    /// A class that is tried next, each as often as it takes for walks to get anywhere.
    pub(super) fn draw(random: &mut Rng) -> Self {
        match random.u8(..32) {
            0..8 => Self::Start,
            8..14 => Self::News,
            14 => Self::Retry,
            15..24 => Self::End,
            24..27 => Self::UndoStart,
            27..29 => Self::UndoEnd,
            29..31 => Self::Resume,
            _ => Self::EndRun,
        }
    }

    /// The moves of this class that are worth trying, legal or not.
    pub(super) fn moves(self, model: &Model, random: &mut Rng) -> Vec<Move> {
        match self {
            Self::EndRun => [
                RunStatus::Running,
                RunStatus::Completed,
                RunStatus::Failed,
                RunStatus::Cancelled,
                RunStatus::RollingBack,
                RunStatus::RolledBack,
                RunStatus::Stuck,
            ]
            .map(Move::EndRun)
            .into(),
            Self::Resume => {
                let plain = [false, false, false, false, false, true];
                let plain = plain.map(|rollback| Move::Resume { rollback, edit: None });
                let edits = Edit::all(model, random).into_iter();
                let rollback = random.u8(..16) == 0;
                let edited = edits.map(|edit| Move::Resume { rollback, edit: Some(edit) });
                // Rarer while the run goes on, as it takes so much back.
                let from = model.all().filter(|_| model.run == RunStatus::Completed || random.u8(..8) == 0);
                let again = from.flat_map(|from| {
                    let without = model.all().map(Some).chain([None; 4]);
                    without.map(move |without| Move::Again { from, without })
                });
                let again: Vec<_> = again.collect();
                plain.into_iter().chain(edited).chain([Move::StartAgain]).chain(again).collect()
            }
            _ => {
                let acts = |at| self.acts(model, at, random).into_iter().map(move |act| Move::Step(at, act));
                let mut moves: Vec<_> = (0..model.lives.len()).flat_map(acts).collect();
                // Rare, as it is legal everywhere.
                if matches!(self, Self::News) && random.u8(..8) == 0 {
                    moves.push(Move::Unknown);
                }
                moves
            }
        }
    }

    fn acts(self, model: &Model, at: usize, random: &mut Rng) -> Vec<Act> {
        let life = &model.lives[at];
        let (attempt, undo) = (life.attempts, life.undo_attempts);
        let end = |status, reason| Act::End { status, reason, attempt };
        match self {
            Self::Start => (0..3).map(|more| Act::Start { attempt: attempt + more }).collect(),
            Self::News => news(random),
            Self::Retry => {
                let last = if life.undo == Undo::Running { undo } else { attempt };
                vec![Act::Retry { attempt: last }, Act::Retry { attempt: last + 1 }]
            }
            Self::End => {
                let mut ends = vec![
                    end(StepStatus::Failed, None),
                    end(StepStatus::Skipped, Some(Reason::Failed)),
                    end(StepStatus::Cancelled, Some(Reason::Dropped)),
                    end(StepStatus::Undone, None),
                    Act::End { status: StepStatus::Completed, reason: None, attempt: attempt + 1 },
                ];
                // So often that many walks reach the end of their plan.
                ends.resize(40, end(StepStatus::Completed, None));
                if random.u8(..4) == 0 {
                    ends.push(end(StepStatus::Skipped, Some(Reason::Requested)));
                }
                ends
            }
            Self::UndoStart => {
                vec![Act::UndoStart { attempt: undo + 1 }, Act::UndoStart { attempt: undo }]
            }
            Self::UndoEnd => [UndoStatus::Undone, UndoStatus::UndoFailed, UndoStatus::Skipped].map(Act::UndoEnd).into(),
            Self::Resume | Self::EndRun => Vec::new(),
        }
    }
}

fn news(random: &mut Rng) -> Vec<Act> {
    // Sixty-fourths are exact in a binary number and short in decimal.
    let fraction = Some(f64::from(random.u8(..=64)) / 64.0);
    let task = random.u8(..2);
    vec![
        Act::Update(fraction),
        Act::Update(None),
        Act::Update(Some(1.5)),
        Act::Update(Some(-0.25)),
        Act::Line,
        Act::Stalled,
        Act::TaskStart(task),
        Act::TaskUpdate(task, fraction),
        Act::TaskUpdate(task, None),
        Act::TaskUpdate(task, Some(2.0)),
        Act::TaskEnd(task, TaskStatus::Completed),
        Act::TaskEnd(task, TaskStatus::Failed),
        Act::TaskEnd(task, TaskStatus::Running),
    ]
}

impl Move {
    pub(super) fn turns_back(&self) -> bool {
        let undo = |act: &Act| matches!(act, Act::UndoStart { .. } | Act::UndoEnd(_));
        match self {
            Self::Resume { rollback, .. } => *rollback,
            Self::Step(_, act) => undo(act),
            Self::StartAgain | Self::Again { .. } | Self::EndRun(_) | Self::Unknown => false,
        }
    }

    /// The move as it stands in an event; what the rules do not ask about is drawn.
    pub(super) fn kind(&self, model: &Model, random: &mut Rng) -> Kind {
        match self {
            Self::StartAgain => run_start(model),
            Self::Unknown => Kind::Unknown(Box::new(Unknown {
                name: "step_dance".to_owned(),
                fields: Map::from_iter([("tempo".to_owned(), json!(random.u8(..)))]),
            })),
            Self::Resume { rollback, edit } => Kind::RunResume(RunResume {
                rollback: *rollback,
                plan: edit.as_ref().map(|edit| edit.edited(&model.plan).0.into()),
                again: Vec::new(),
                parent_attempt: None,
            }),
            Self::Again { from, without } => Kind::RunResume(RunResume {
                rollback: false,
                plan: None,
                again: model.again(*from, *without).map(|at| StepRef::new(model.id(at))).collect(),
                parent_attempt: None,
            }),
            Self::EndRun(status) => Kind::RunEnd(Box::new(RunEnd {
                status: *status,
                reason: random.bool().then_some(Reason::Requested),
                warnings: usize::from(random.u8(..3)),
                failure: (*status != RunStatus::Completed).then(|| failure(model)),
            })),
            Self::Step(at, act) => {
                let info = &model.plan.steps[*at];
                // Events that were written before a step was renamed use its old id.
                let old = info.aliases.first().filter(|_| random.u8(..4) == 0);
                let step = StepRef::new(old.unwrap_or(&info.id).clone());
                act.kind(step, model.lives[*at].interrupted, random)
            }
        }
    }
}

pub(super) fn run_start(model: &Model) -> Kind {
    Kind::RunStart(Box::new(RunStart {
        plan: model.plan.clone().into(),
        parent: None,
        forked: None,
        labels: BTreeMap::from([("ticket".to_owned(), "OPS-7".to_owned())]),
        input: Some(json!({ "host": "web-42", "ports": [80, 443], "none": null })),
    }))
}

impl Act {
    pub(super) fn kind(self, step: StepRef, interrupted: bool, random: &mut Rng) -> Kind {
        let span = Duration::from_nanos(random.u64(..1_000_000_000));
        let coin = random.bool();
        let message = coin.then(|| Cow::Owned(format!("message {}", random.u8(..))));
        match self {
            Self::Start { attempt } => Kind::StepStart(StepStart { step, attempt, interrupted }),
            Self::Retry { attempt } => {
                Kind::StepRetry(Box::new(StepRetry { step, attempt, delay: span, error: error(random) }))
            }
            Self::End { status, reason, attempt } => {
                let completed = status == StepStatus::Completed;
                Kind::StepEnd(StepEnd {
                    step,
                    status,
                    reason,
                    message: message.filter(|_| reason == Some(Reason::Requested)),
                    attempt,
                    duration: span,
                    attempt_duration: span / 2,
                    error: (!completed && coin).then(|| Box::new(error(random))),
                    output: (completed && coin).then(|| Box::new(json!({ "n": random.u32(..) }))),
                    secret: false,
                    sealed: None,
                })
            }
            Self::Update(fraction) => Kind::StepUpdate(Box::new(StepUpdate {
                step,
                fraction,
                level: random.choice([None, Some(Level::Debug), Some(Level::Warning)]).flatten(),
                message,
                metadata: if random.bool() {
                    Map::new()
                } else {
                    Map::from_iter([(format!("key {}", random.u8(..3)), json!([span.as_millis(), null]))])
                },
                thinned: thinned(fraction, random),
            })),
            Self::Line => {
                let line = OutputLine { step, line: Cow::Borrowed("a \"line\"\twith \u{1b}[1mcolour") };
                if coin { Kind::Stdout(line) } else { Kind::Stderr(line) }
            }
            Self::Stalled => Kind::Stalled(Stalled { step, silent: span }),
            Self::TaskStart(task) => {
                let name = Cow::Owned(format!("Task {task}"));
                Kind::TaskStart(Box::new(TaskStart { step, task: id(task), name }))
            }
            Self::TaskUpdate(task, fraction) => {
                let thinned = thinned(fraction, random);
                Kind::TaskUpdate(Box::new(TaskUpdate { step, task: id(task), fraction, message, thinned }))
            }
            Self::TaskEnd(task, status) => Kind::TaskEnd(Box::new(TaskEnd { step, task: id(task), status, message })),
            Self::UndoStart { attempt } => Kind::UndoStart(UndoStart { step, attempt }),
            Self::UndoEnd(status) => Kind::UndoEnd(Box::new(UndoEnd {
                step,
                status,
                duration: span,
                message: message.filter(|_| status == UndoStatus::Skipped),
                error: (status == UndoStatus::UndoFailed).then(|| error(random)),
            })),
        }
    }
}

/// Only fractions are thinned.
fn thinned(fraction: Option<f64>, random: &mut Rng) -> u64 {
    if fraction.is_some() { random.u64(..3) } else { 0 }
}

fn id(task: u8) -> Cow<'static, str> {
    Cow::Owned(task.to_string())
}

fn error(random: &mut Rng) -> ErrorRecord {
    ErrorRecord {
        kind: Cow::Borrowed("io"),
        message: format!("code {}", random.u8(..)),
        chain: vec!["connection reset".to_owned(); usize::from(random.u8(..2))],
        effect: if random.bool() { Effect::Known } else { Effect::Unknown },
        nested: None,
    }
}

fn failure(model: &Model) -> FailureRecord {
    FailureRecord {
        run: super::RUN.into(),
        workflow: Cow::Owned(model.plan.workflow.clone()),
        step: model.plan.steps.first().map(|step| StepRef::new(step.id.clone())),
        step_number: 1,
        total_steps: model.plan.steps.len(),
        attempt: 1,
        error: error(&mut Rng::with_seed(1)),
        started_at: SystemTime::UNIX_EPOCH,
        step_started_at: SystemTime::UNIX_EPOCH,
        failed_at: SystemTime::UNIX_EPOCH,
        run_duration: Duration::from_micros(12_345_678),
        step_duration: Duration::ZERO,
        steps: Vec::new(),
        metadata: Map::new(),
        rollback: None,
        journal: None,
        trace_file: None,
    }
}
