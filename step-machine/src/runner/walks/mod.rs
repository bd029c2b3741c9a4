//! Random runs of random plans: whatever bodies do and whoever stops them, a run keeps to its rules and comes to an end.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod actor;
mod oracle;
mod resumed;
mod rules;
mod scene;
mod waits;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::actor::{Actor, Any, Note, Trouble};
use self::rules::Rulebook;
use self::scene::{Scene, scenes, undisturbed};
use super::builder::Runner;
use super::handler::HandlerFor;
use crate::event::{Event, RunStatus};
use crate::failure::Cause;
use crate::journal::{Journal, JournalError, MemoryJournal};
use crate::observe::callbacks;
use crate::opening::Way;
use crate::state::RunState;
use crate::sync::lock;

const RUN: &str = "walk-1";

/// How a run ended.
#[derive(Debug)]
enum End {
    Report,
    Cancelled,
    /// By an error, a panic or a timeout.
    Failed,
    /// It only went back.
    Earlier,
    /// It was dropped before its end.
    Dropped,
    /// It could not begin, or not go on.
    Journal(JournalError),
}

/// What is known of a run after its end.
struct Ran {
    scene: Scene,
    end: End,
    /// As the report or the failure has it.
    state: Option<RunState>,
    /// Those of this life.
    events: Vec<Event>,
    notes: Vec<Note>,
}

/// Runs a scene to its end, on a clock that only moves when everything waits.
fn play(scene: &Scene, journal: Option<&MemoryJournal>) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let actor = Arc::new(Actor::new(scene.clone()));
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let (end, state) = if scene.rules.has_tasks {
            drive(scene, journal, Runner::new(actor.clone()), events.clone()).await
        } else {
            drive(scene, journal, Runner::new(&*actor), events.clone()).await
        };
        // Tasks of a run that was dropped are told so, and go once they are polled.
        tokio::task::yield_now().await;
        let events = lock(&events).clone();
        Ran { scene: scene.clone(), end, state, events, notes: actor.notes() }
    })
}

async fn drive<P: HandlerFor<Any, Error = Trouble>>(
    scene: &Scene,
    journal: Option<&MemoryJournal>,
    runner: Runner<'_, Any, P>,
    events: Arc<Mutex<Vec<Event>>>,
) -> (End, Option<RunState>) {
    let mut runner = runner.id(RUN).observe(callbacks().on_any(move |event| lock(&events).push(event.clone())));
    if let Some(journal) = journal {
        runner = runner.journal(journal.clone());
    }
    let mut runner = set_up(scene, runner);
    let mut opening = std::mem::take(&mut runner.opening);
    opening.is_deferred = true;
    let found = match opening.find(&scene.plan, Way::AsLeft).await {
        Ok(found) => found,
        Err(error) => return (End::Journal(error), None),
    };
    let recorder = match opening.open::<Any>(found, scene.plan.clone().into(), Way::AsLeft) {
        Ok(recorder) => recorder,
        Err(error) => return (End::Journal(error), None),
    };
    // All times of a scene are some hundred milliseconds.
    let limit = scene.rules.dropped_at.map_or(Duration::from_secs(60), Duration::from_millis);
    match timeout(limit, runner.go_on(recorder, Way::AsLeft)).await {
        Ok(Ok(report)) => (End::Report, Some(report.state().clone())),
        Ok(Err(failure)) => {
            let state = failure.state().cloned();
            let end = match failure.into_parts().1 {
                Cause::Cancelled => End::Cancelled,
                Cause::Earlier { .. } => End::Earlier,
                Cause::Journal(error) => End::Journal(error),
                _ => End::Failed,
            };
            (end, state)
        }
        Err(_) => {
            assert!(scene.rules.dropped_at.is_some(), "the run hangs");
            (End::Dropped, None)
        }
    }
}

fn set_up<'h, P: HandlerFor<Any>>(scene: &Scene, mut runner: Runner<'h, Any, P>) -> Runner<'h, Any, P> {
    let rules = &scene.rules;
    let settings = Arc::make_mut(&mut runner.settings);
    settings.skips = rules.skips.iter().map(|&step| (step, "it was asked for".into())).collect();
    settings.kept = rules.kept.iter().map(|&step| (step, "it is to stay".into())).collect();
    settings.until = rules.until;
    settings.max_parallel = rules.max_parallel.and_then(NonZeroUsize::new);
    settings.cancel_siblings = rules.cancel_siblings;
    settings.rollback_on_cancel = rules.rollback_on_cancel;
    settings.rollback_deadline = rules.rollback_deadline.map(Duration::from_millis);
    let now = Instant::now();
    if let Some(millis) = rules.stop_at {
        runner = runner.stop_on(sleep_until(now + Duration::from_millis(millis)));
    }
    if let Some(millis) = rules.cancel_at {
        runner = runner.cancel_on(sleep(Duration::from_millis(millis)));
    }
    runner
}

impl Ran {
    /// The state after the events, which is that of the run.
    fn folded(&self) -> RunState {
        RunState::fold(&self.events).unwrap().unwrap()
    }

    fn status(&self) -> RunStatus {
        self.folded().status()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_run_keeps_the_rules(scene in scenes()) {
        let journal = scene.rules.has_journal.then(MemoryJournal::new);
        let ran = play(&scene, journal.as_ref());
        if let Some(journal) = journal {
            prop_assert_eq!(&journal.load(&RUN.into()).wait().unwrap(), &ran.events);
        }
        Rulebook::new(&ran).all()?;
    }

    #[test]
    fn a_run_that_is_left_alone_does_exactly_what_its_bodies_say(scene in undisturbed()) {
        let ran = play(&scene, None);
        Rulebook::new(&ran).all()?;
        oracle::check(&ran)?;
        waits::check(&ran)?;
    }
}

proptest! {
    // Each case is as many runs as the first one has events.
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_run_goes_on_from_wherever_its_process_ended(scene in scenes()) {
        let journal = MemoryJournal::new();
        let ran = play(&scene, Some(&journal));
        resumed::check(&ran)?;
    }
}
