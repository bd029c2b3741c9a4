//! What a run is to be like: its plan, what each method does in each attempt, and the settings of the run.

use std::time::Duration;

use proptest::prelude::*;

use crate::policy::Retry;
use crate::state::walks::generator::plans;
use crate::workflow::Plan;

/// Everything that a run depends on.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) plan: Plan,
    pub(super) conducts: Vec<Conduct>,
    pub(super) rules: Rules,
}

/// What the methods of a step do.
#[derive(Debug, Clone)]
pub(super) struct Conduct {
    /// One for each attempt; the last one again for all further ones.
    runs: Vec<Attempt>,
    undos: Vec<Attempt>,
    pub(super) skip: (Pause, Skip),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) pause: Pause,
    pub(super) act: Act,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    None,
    Yield(u8),
    Sleep(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Ok,
    Error,
    Fatal,
    Panic,
    /// Until its timeout; where there is none, an error.
    Hang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    No,
    Yes,
    Error,
    Panic,
}

/// The settings of a run. Times are milliseconds; those of a plan and of a body are never the same as those from
/// outside.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub(super) struct Rules {
    pub(super) max_parallel: Option<usize>,
    pub(super) cancel_siblings: bool,
    pub(super) rollback_on_cancel: bool,
    pub(super) until: Option<usize>,
    pub(super) skips: Vec<usize>,
    pub(super) kept: Vec<usize>,
    pub(super) stop_at: Option<u64>,
    pub(super) cancel_at: Option<u64>,
    pub(super) rollback_deadline: Option<u64>,
    /// When the run is dropped.
    pub(super) dropped_at: Option<u64>,
    /// Whether each step is a task of its own.
    pub(super) has_tasks: bool,
    /// Whether the run has a journal.
    pub(super) has_journal: bool,
}

impl Scene {
    /// What the `nth` attempt does, counted from 1.
    pub(super) fn attempt(&self, step: usize, undo: bool, nth: u32) -> Attempt {
        let conduct = &self.conducts[step];
        let attempts = if undo { &conduct.undos } else { &conduct.runs };
        let mut attempt = attempts[(nth as usize).min(attempts.len()) - 1];
        if attempt.act == Act::Hang && self.plan.steps[step].timeout.is_none() {
            attempt.act = Act::Error;
        }
        attempt
    }

    /// Whether nothing comes from outside, and no time ends but that of an attempt.
    pub(super) fn is_undisturbed(&self) -> bool {
        let rules = &self.rules;
        let moments = [rules.stop_at, rules.cancel_at, rules.rollback_deadline, rules.dropped_at];
        moments.iter().all(Option::is_none)
            && self.plan.deadline.is_none()
            && self.plan.steps.iter().all(|step| step.deadline.is_none())
    }

    /// The same plan, in which everything goes well at once.
    pub(super) fn healed(&self) -> Self {
        let attempt = Attempt { pause: Pause::Yield(1), act: Act::Ok };
        let conduct = Conduct { runs: vec![attempt], undos: vec![attempt], skip: (Pause::None, Skip::No) };
        let rules = Rules {
            max_parallel: self.rules.max_parallel,
            has_tasks: self.rules.has_tasks,
            has_journal: true,
            ..Rules::none()
        };
        let mut plan = self.plan.clone();
        plan.deadline = None;
        Self { conducts: vec![conduct; plan.steps.len()], plan, rules }
    }
}

impl Rules {
    fn none() -> Self {
        Self {
            max_parallel: None,
            cancel_siblings: false,
            rollback_on_cancel: false,
            until: None,
            skips: Vec::new(),
            kept: Vec::new(),
            stop_at: None,
            cancel_at: None,
            rollback_deadline: None,
            dropped_at: None,
            has_tasks: false,
            has_journal: false,
        }
    }
}

fn pauses() -> impl Strategy<Value = Pause> {
    prop_oneof![
        2 => Just(Pause::None),
        2 => (1..4_u8).prop_map(Pause::Yield),
        3 => (1..5_u64).prop_map(|tens| Pause::Sleep(tens * 10)),
    ]
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let acts = prop_oneof![
        3 => Just(Act::Ok),
        3 => Just(Act::Error),
        1 => Just(Act::Fatal),
        1 => Just(Act::Panic),
        2 => Just(Act::Hang),
    ];
    (pauses(), acts).prop_map(|(pause, act)| Attempt { pause, act })
}

/// Mostly it goes well, or hardly any run would get far.
fn several() -> impl Strategy<Value = Vec<Attempt>> {
    prop_oneof![
        3 => pauses().prop_map(|pause| vec![Attempt { pause, act: Act::Ok }]),
        1 => prop::collection::vec(attempts(), 1..4),
    ]
}

prop_compose! {
    fn conducts()(
        runs in several(),
        undos in several(),
        pause in prop_oneof![Just(Pause::None), Just(Pause::Yield(1))],
        skip in prop_oneof![8 => Just(Skip::No), 4 => Just(Skip::Yes), 1 => Just(Skip::Error), 1 => Just(Skip::Panic)],
    ) -> Conduct {
        Conduct { runs, undos, skip: (pause, skip) }
    }
}

/// Rarely there, and at a time at which nothing else happens by itself.
fn moments(odd: u64) -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.15, (0..12_u64).prop_map(move |tens| tens * 10 + odd))
}

prop_compose! {
    fn rules(count: usize)(
        max_parallel in prop::option::of(1..5_usize),
        flags: [bool; 3],
        until in prop::option::weighted(0.15, 0..count),
        skips in prop::collection::vec(0..count, 0..3),
        kept in prop::collection::vec(0..count, 0..2),
        (stop_at, cancel_at, rollback_deadline, dropped_at) in (moments(3), moments(2), moments(7), moments(1)),
        has_journal: bool,
    ) -> Rules {
        let [cancel_siblings, rollback_on_cancel, has_tasks] = flags;
        Rules {
            max_parallel,
            cancel_siblings,
            rollback_on_cancel,
            until,
            skips,
            kept,
            stop_at,
            cancel_at,
            rollback_deadline,
            dropped_at,
            has_tasks,
            has_journal,
        }
    }
}

/// The times of one step: how long it waits before the next attempt, its timeout and its deadline.
fn times() -> impl Strategy<Value = (u64, Option<u64>, Option<u64>)> {
    let timeout = prop::option::weighted(0.4, (0..5_u64).prop_map(|tens| tens * 10 + 5));
    (prop_oneof![Just(0), Just(10)], timeout, moments(8).prop_map(|moment| moment.filter(|millis| millis % 3 == 0)))
}

/// All that a run depends on, whether or not something comes from outside.
pub(super) fn scenes() -> impl Strategy<Value = Scene> {
    plans().prop_flat_map(|plan| {
        let count = plan.steps.len();
        let times = prop::collection::vec(times(), count);
        let conducts = prop::collection::vec(conducts(), count);
        (Just(plan), times, moments(6), conducts, rules(count)).prop_map(|(plan, times, deadline, conducts, rules)| {
            let plan = timed(plan, &times, deadline);
            let rules =
                Rules { skips: rules.skips.into_iter().filter(|&step| plan.steps[step].skippable).collect(), ..rules };
            Scene { plan, conducts, rules }
        })
    })
}

/// Scenes in which a run is left alone.
pub(super) fn undisturbed() -> impl Strategy<Value = Scene> {
    scenes().prop_map(|mut scene| {
        scene.plan.deadline = None;
        scene.plan.steps.iter_mut().for_each(|step| step.deadline = None);
        let rules = scene.rules;
        let rules = Rules { stop_at: None, cancel_at: None, rollback_deadline: None, dropped_at: None, ..rules };
        Scene { rules, ..scene }
    })
}

fn timed(mut plan: Plan, times: &[(u64, Option<u64>, Option<u64>)], deadline: Option<u64>) -> Plan {
    for (step, &(delay, timeout, deadline)) in plan.steps.iter_mut().zip(times) {
        step.retry = step.retry.map(|retry: Retry| retry.delay(Duration::from_millis(delay)).factor(1.0).jitter(false));
        step.timeout = timeout.map(Duration::from_millis);
        step.deadline = deadline.map(Duration::from_millis);
    }
    plan.deadline = deadline.map(Duration::from_millis);
    plan
}
