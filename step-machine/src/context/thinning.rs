//! Whatever bodies tell, how fast and in whatever order: thinning loses no last value, changes no order and no end.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::{ErrorRecord, Event, RunStart, RunStatus};
use crate::link::Shared;
use crate::observe::{Observers, callbacks};
use crate::recorder::{Pace, Watch};
use crate::state::RunState;
use crate::sync::lock;
use crate::time::{Clock, ManualClock};
use crate::workflow::Plan;

const STEPS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Act {
    Wait(u64),
    Progress(f64),
    Task(u8, f64),
    TaskMessage(u8),
    TaskEnd(u8),
    Message,
    Metadata,
    Line,
    Retry,
    Complete,
}

#[derive(Debug, Clone)]
struct Script {
    acts: Vec<(usize, Act)>,
    pace: (u32, u32),
    /// No step's fraction ever falls: none that is told does, a step tells its own or has tasks, all of them from its
    /// beginning, and nothing is tried again.
    is_tidy: bool,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..40_u64).prop_map(Act::Wait),
        12 => (0..=100_u32).prop_map(|part| Act::Progress(f64::from(part) / 100.0)),
        12 => (0..3_u8, 0..=100_u32).prop_map(|(task, part)| Act::Task(task, f64::from(part) / 100.0)),
        1 => (0..3_u8).prop_map(Act::TaskMessage),
        1 => (0..3_u8).prop_map(Act::TaskEnd),
        1 => Just(Act::Message),
        1 => Just(Act::Metadata),
        1 => Just(Act::Line),
        1 => Just(Act::Retry),
        1 => Just(Act::Complete),
    ]
}

prop_compose! {
    fn scripts()(
        acts in prop::collection::vec((0..STEPS, act()), 0..250),
        burst in 0..5_u32,
        per_second in prop::sample::select(vec![1, 20, 50, 1_000]),
        is_tidy: bool,
    ) -> Script {
        Script { acts, pace: (burst, per_second), is_tidy }
    }
}

/// A step whose body is played.
struct Body {
    cx: StepContext,
    /// None where one has ended.
    tasks: BTreeMap<u8, Option<Task>>,
    /// The highest fraction so far, of the step and of its tasks, in this attempt.
    highest: BTreeMap<Option<u8>, f64>,
}

/// What a run tells of which the script is played, and how many fractions were told.
fn play(script: &Script, pace: Pace) -> (Vec<Event>, u64) {
    let (seen, clock): (Arc<Mutex<Vec<Event>>>, _) = (Arc::default(), ManualClock::new());
    let mut observers = Observers::default();
    let kept = seen.clone();
    observers.add(callbacks().on_any(move |event| lock(&kept).push(event.clone())));
    let steps = [1.0, 2.5, 10.0].into_iter().enumerate().map(|(at, weight)| {
        let mut step = StepInfo::new(format!("s{at}"), "S");
        step.weight = weight;
        step
    });
    let mut plan = Plan::new("w", steps.collect::<Vec<_>>());
    plan.parallel = true;
    let plan: crate::workflow::SharedPlan = plan.into();
    let watch = Watch { clock: Some(Arc::new(clock.clone())), observers, pace: Some(pace), ..Watch::default() };
    let state = RunState::new("r".into(), plan.clone(), clock.wall());
    let mut recorder = Recorder::new(state, watch, clock.wall(), None);
    let labels = BTreeMap::new();
    recorder.announce(RunStart { plan, parent: None, forked: None, labels, input: None }).unwrap();
    (0..STEPS).for_each(|step| assert!(recorder.begin_step(step)));
    let shared = Shared::new(recorder);
    let body = |step| {
        let cx = StepContext::new(Link::Shared(shared.clone()), step, Phase::Run);
        let mut body = Body { cx, tasks: BTreeMap::new(), highest: BTreeMap::new() };
        if script.is_tidy && step != 0 {
            (0..3).for_each(|task| assert!(body.task(task).is_some()));
        }
        Some(body)
    };
    let (mut bodies, mut count): (Vec<_>, _) = ((0..STEPS).map(body).collect(), 0);
    for &(step, act) in &script.acts {
        let Some(body) = &mut bodies[step] else { continue };
        count += body.play(act, script.is_tidy, step, &shared, &clock);
        if matches!(act, Act::Complete) {
            bodies[step] = None;
        }
    }
    // Their contexts go first, as they hold the run; their tasks have nothing to say after it.
    let tasks: Vec<_> = bodies.into_iter().flatten().map(|body| body.tasks).collect();
    if shared.lock().state().steps().iter().all(|step| step.status().is_settled()) {
        shared.lock().end(RunStatus::Completed, None);
    }
    // A run that is left cancels its steps.
    drop(Shared::into_recorder(shared));
    drop(tasks);
    let events = lock(&seen).clone();
    (events, count)
}

impl Body {
    /// One where a fraction was told that counts.
    fn play(&mut self, act: Act, is_tidy: bool, step: usize, shared: &Shared, clock: &ManualClock) -> u64 {
        let has_tasks = step != 0;
        match act {
            Act::Wait(millis) => clock.advance(Duration::from_millis(millis)),
            Act::Progress(fraction) if !is_tidy || !has_tasks => {
                let fraction = self.fraction(None, fraction, is_tidy);
                self.cx.progress(fraction);
                return 1;
            }
            Act::Task(task, fraction) if !is_tidy || has_tasks => {
                let fraction = self.fraction(Some(task), fraction, is_tidy);
                return self.task(task).as_mut().map_or(0, |task| {
                    task.progress(fraction);
                    1
                });
            }
            Act::TaskMessage(task) if has_tasks => self.task(task).iter_mut().for_each(|task| task.message("news")),
            Act::TaskEnd(task) => self.tasks.get_mut(&task).and_then(Option::take).into_iter().for_each(Task::complete),
            Act::Message => self.cx.message("news"),
            Act::Metadata => self.cx.metadata("key", 1),
            Act::Line => self.cx.stdout("line"),
            Act::Retry if !is_tidy => {
                let (kind, message, chain) = ("k".into(), "m".to_owned(), Vec::new());
                let error = ErrorRecord { kind, message, chain, effect: crate::event::Effect::Known, nested: None };
                assert!(shared.lock().retry(step, Duration::ZERO, error));
                assert!(shared.lock().begin_step(step));
                self.tasks.clear();
                self.highest.clear();
            }
            Act::Complete => assert!(shared.lock().complete_step(step)),
            Act::Progress(_) | Act::Task(..) | Act::TaskMessage(_) | Act::Retry => {}
        }
        0
    }

    fn fraction(&mut self, task: Option<u8>, fraction: f64, is_tidy: bool) -> f64 {
        let highest = self.highest.entry(task).or_default();
        *highest = if is_tidy { fraction.max(*highest) } else { fraction };
        *highest
    }

    fn task(&mut self, task: u8) -> &mut Option<Task> {
        let cx = &mut self.cx;
        self.tasks.entry(task).or_insert_with(|| Some(cx.task(format!("t{task}"), "T")))
    }
}

/// Whether an event carries a fraction and nothing else.
fn is_fraction(event: &Event) -> bool {
    match &event.kind {
        Kind::StepUpdate(update) => update.fraction.is_some(),
        Kind::TaskUpdate(update) => update.fraction.is_some(),
        _ => false,
    }
}

/// The last fractions that were told of the steps and tasks when something else is told.
type Last = BTreeMap<(String, Option<String>), f64>;

/// Everything but fractions, each with the last fractions before it of what it is about.
fn others(events: &[Event]) -> Vec<(Kind, Duration, Last)> {
    let (mut last, mut others) = (Last::new(), Vec::new());
    for event in events {
        let step = event.step().unwrap_or_default().to_owned();
        if is_fraction(event) {
            let (task, fraction) = match &event.kind {
                Kind::StepUpdate(update) => (None, update.fraction),
                Kind::TaskUpdate(update) => (Some(update.task.to_string()), update.fraction),
                _ => (None, None),
            };
            last.insert((step, task), fraction.unwrap());
            continue;
        }
        let is_about = |task: &Option<String>| match &event.kind {
            Kind::TaskUpdate(update) => task.is_none() || task.as_deref() == Some(&*update.task),
            Kind::TaskEnd(end) => task.is_none() || task.as_deref() == Some(&*end.task),
            Kind::TaskStart(_) | Kind::StepEnd(_) | Kind::StepRetry(_) => true,
            _ => task.is_none(),
        };
        let known = last.iter().filter(|((of, task), _)| *of == step && is_about(task));
        others.push((event.kind.clone(), event.elapsed, known.map(|(of, fraction)| (of.clone(), *fraction)).collect()));
    }
    others
}

fn thinned(events: &[Event]) -> u64 {
    RunState::fold(events).unwrap().unwrap().thinned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn thinning_loses_no_last_value_and_changes_no_order_and_no_end(script in scripts()) {
        let (all, count) = play(&script, Pace::new(u32::MAX, u32::MAX));
        let (burst, per_second) = script.pace;
        let (few, _) = play(&script, Pace::new(burst, per_second));
        prop_assert_eq!(others(&few), others(&all));

        let told = |events: &[Event]| events.iter().filter(|event| is_fraction(event)).count() as u64;
        prop_assert_eq!((told(&all), thinned(&all)), (count, 0));
        prop_assert_eq!(told(&few) + thinned(&few), count);

        let percentages = |events: &[Event]| -> Vec<f64> {
            events.iter().filter_map(|event| Some(event.progress.as_ref()?.percentage)).collect()
        };
        let (of_all, of_few) = (percentages(&all), percentages(&few));
        prop_assert!(of_few.is_sorted(), "{:?}", of_few);
        if script.is_tidy {
            // The sum of the tasks' fractions is rounded with each change.
            let (all, few) = (of_all.last().unwrap(), of_few.last().unwrap());
            prop_assert!((all - few).abs() < 0.011, "{} and {}", all, few);
        }

        // What is left of the steps, whichever of a step's own fraction and its tasks' was last.
        let (all, few) = (RunState::fold(&all).unwrap().unwrap(), RunState::fold(&few).unwrap().unwrap());
        for (all, few) in all.steps().iter().zip(few.steps()) {
            prop_assert!((all.fraction() - few.fraction()).abs() < 1e-9, "{} and {}", all.fraction(), few.fraction());
            prop_assert_eq!(all.tasks(), few.tasks());
            prop_assert_eq!(all.status(), few.status());
        }
    }

    #[test]
    fn no_more_is_told_than_the_pace_allows(waits in prop::collection::vec(0..3_u64, 1..400)) {
        let acts = waits.iter().flat_map(|millis| [(0, Act::Wait(*millis)), (0, Act::Progress(0.5))]).collect();
        let script = Script { acts, pace: (5, 50), is_tidy: false };
        let (events, _) = play(&script, Pace::new(5, 50));
        let told = events.iter().filter(|event| is_fraction(event)).count() as u64;
        // And the one that is held back at the end.
        prop_assert!(told <= 5 + waits.iter().sum::<u64>() / 20 + 1, "{} in {:?}", told, waits);
    }
}
