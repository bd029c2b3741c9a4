//! Random plans, and random walks through them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::model::Model;
use super::moves::{Class, Move, run_start};
use super::{RUN, STARTED};
use crate::event::{EVENT_VERSION, Event, Kind, RunStatus};
use crate::policy::{OnFailure, Retry};
use crate::state::{IllegalReason, RunState};
use crate::workflow::{Plan, StepInfo};

/// What is drawn for one step; `rank` and `needs` become the steps that it needs.
#[derive(Debug, Clone)]
struct Draft {
    rules: [bool; 4],
    retry: Option<Retry>,
    weight: f64,
    rank: u8,
    needs: u16,
}

prop_compose! {
    fn draft()(
        critical in prop::bool::weighted(0.8),
        skippable: bool,
        undo in prop::bool::weighted(0.7),
        output: bool,
        retry in prop::option::of((1..5_u32).prop_map(Retry::new)),
        // Tenths, many of which are not exact in a binary number.
        weight in (1..200_u8).prop_map(|tenths| f64::from(tenths) / 10.0),
        rank in 0..8_u8,
        // A quarter of the steps that could be needed, or parallel plans would all be chains.
        needs in (any::<u16>(), any::<u16>()).prop_map(|(some, other)| some & other),
    ) -> Draft {
        Draft { rules: [critical, skippable, undo, output], retry, weight, rank, needs }
    }
}

prop_compose! {
    /// A plan of 1 to 12 steps that a workflow could declare.
    pub(crate) fn plans()(
        drafts in prop::collection::vec(draft(), 1..=12),
        parallel: bool,
        rollback: bool,
    ) -> Plan {
        plan(&drafts, parallel, rollback)
    }
}

fn plan(drafts: &[Draft], parallel: bool, rollback: bool) -> Plan {
    // In a parallel plan a step may need one that is declared later, as long as there is no circle.
    let rank = |at: usize| (if parallel { drafts[at].rank } else { 0 }, at);
    let steps = drafts.iter().enumerate().map(|(at, draft)| {
        let mut step = StepInfo::new(format!("step-{at}"), format!("Step {at}"));
        [step.critical, step.skippable, step.undo, step.output] = draft.rules;
        step.retry = draft.retry;
        step.weight = draft.weight;
        step.needs = (0..drafts.len())
            .filter(|&need| rank(need) < rank(at) && draft.needs & (1 << need) != 0)
            .map(|need| format!("step-{need}"))
            .collect();
        step
    });
    let mut plan = Plan::new("walk", steps.collect::<Vec<_>>());
    plan.parallel = parallel;
    plan.on_failure = if rollback { OnFailure::Rollback } else { OnFailure::Stop };
    plan
}

/// A run under way: its events so far, the state that they fold to, and the model beside it.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) events: Vec<Event>,
    pub(super) state: RunState,
    pub(super) model: Model,
    /// For how many events the run does not turn back.
    forward: usize,
}

impl Walk {
    pub(super) fn begin(plan: Plan, forward: usize) -> Self {
        let model = Model::new(plan);
        let mut event = event(1, Duration::ZERO, run_start(&model));
        let state = RunState::start(&event).unwrap();
        event.progress = Some(state.progress());
        Self { events: vec![event], state, model, forward }
    }

    /// A walk that makes one legal move for each seed, until the run is over.
    pub(super) fn to_the_end(script: Script) -> Result<Self, TestCaseError> {
        let mut walk = Self::begin(script.plan, script.forward);
        for seed in script.seeds {
            let mut random = Rng::with_seed(seed);
            let Some(next) = walk.legal(&mut random) else { break };
            walk.make(&next, &mut random)?;
        }
        Ok(walk)
    }

    /// Some move that the model allows.
    pub(super) fn legal(&self, random: &mut Rng) -> Option<Move> {
        // What completed may do some of it again.
        if self.model.is_over() && (self.model.run == RunStatus::RolledBack || random.u8(..4) > 0) {
            return None;
        }
        // In every state some class has a legal move, if only a resumption.
        loop {
            let mut moves = Class::draw(random).moves(&self.model, random);
            moves.retain(|next| self.model.judge(next).is_ok());
            if self.events.len() < self.forward {
                moves.retain(|next| !next.turns_back());
            }
            if let Some(next) = random.choice(moves) {
                return Some(next);
            }
        }
    }

    /// Some move, legal or not. Every other time not one that is refused at the first glance.
    pub(super) fn any(&self, random: &mut Rng) -> Move {
        let mut moves = Class::draw(random).moves(&self.model, random);
        let plain = |reason: &IllegalReason| matches!(reason, IllegalReason::Run { .. } | IllegalReason::Step { .. });
        if random.bool() {
            moves.retain(|next| !matches!(self.model.judge(next), Err(reasons) if plain(&reasons[0])));
        }
        random.choice(moves).unwrap_or(Move::Unknown)
    }

    /// The event that would come next if `next` happened; its progress is not known yet.
    pub(super) fn event(&self, next: &Move, random: &mut Rng) -> Event {
        let pause = Duration::from_nanos(random.u64(..20_000_000));
        event(self.state.seq() + 1, self.state.elapsed() + pause, next.kind(&self.model, random))
    }

    pub(super) fn make(&mut self, next: &Move, random: &mut Rng) -> TestCaseResult {
        let mut event = self.event(next, random);
        let advanced = self.state.advance(&event);
        advanced.map_err(|illegal| TestCaseError::fail(format!("{next:?}: {illegal}")))?;
        self.model.make(next);
        let is_line = matches!(event.kind, Kind::Stdout(_) | Kind::Stderr(_));
        event.progress = (!is_line).then(|| self.state.progress());
        self.events.push(event);
        Ok(())
    }
}

pub(super) fn event(seq: u64, elapsed: Duration, kind: Kind) -> Event {
    Event {
        v: EVENT_VERSION,
        run: RUN.into(),
        workflow: Cow::Borrowed("walk"),
        seq,
        at: crate::time::timestamp(SystemTime::UNIX_EPOCH + STARTED + elapsed),
        elapsed,
        kind,
        progress: None,
    }
}

/// Everything that a walk depends on.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) plan: Plan,
    /// One for each move.
    pub(super) seeds: Vec<u64>,
    /// Where it all may turn back is drawn, or hardly any run would get to its end.
    pub(super) forward: usize,
}

prop_compose! {
    pub(super) fn scripts()(
        plan in plans(),
        seeds in prop::collection::vec(any::<u64>(), 0..160),
        forward in 0..100_usize,
    ) -> Script {
        Script { plan, seeds, forward }
    }
}
