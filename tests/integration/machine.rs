//! The typed machine, step after step: what is recorded and what comes back.

use std::time::{Duration, Instant, SystemTime};

use step_machine::event::{Kind, RunStatus, StepStatus};
use step_machine::time::{Clock, ManualClock};
use step_machine::{Cause, Failure, Machine, MachineBuilder, RunState, Workflow};

use crate::support::{Recorded, Trouble, ok, refuse};

/// Every rule once.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Shapes {
    Critical,
    #[step(output = u16)]
    Output,
    #[step(output = u16, skippable)]
    Maybe,
    #[step(critical = false)]
    Extra,
    #[step(critical = false, output = String)]
    ExtraOutput,
    #[step(skippable)]
    Last,
}
use shapes::*;

/// What each body does in a run of [`Shapes`].
#[derive(Clone, Copy, Default)]
struct Script {
    fails: Option<Shapes>,
    skips_maybe: bool,
    /// Whether the bodies tell of themselves.
    tells: bool,
}

impl Script {
    fn failing(step: Shapes) -> Self {
        Self { fails: Some(step), ..Self::default() }
    }

    fn give<T>(self, step: Shapes, value: T) -> Result<T, Trouble> {
        if self.fails == Some(step) { Err(Trouble::Network) } else { Ok(value) }
    }
}

/// What the steps of [`Shapes`] handed out.
type Outputs = (u16, Option<u16>, Option<String>);

fn drive(seen: &Recorded, script: Script) -> Result<(Outputs, RunState), Failure<Shapes, Trouble>> {
    drive_from(Shapes::machine().id("r").observe(seen.clone()), script)
}

fn drive_from(
    builder: MachineBuilder<Shapes>,
    script: Script,
) -> Result<(Outputs, RunState), Failure<Shapes, Trouble>> {
    let run = builder.begin()?;
    let run = run.step(Critical, |_| script.give(Shapes::Critical, ()))?;
    let (run, output) = run.step(Output, |cx| {
        if script.tells {
            cx.progress(0.5);
            cx.metadata("port", 80);
        }
        script.give(Shapes::Output, 80)
    })?;
    let (run, maybe) = if script.skips_maybe {
        (run.skip(Maybe, "not today"), None)
    } else {
        run.step(Maybe, |_| script.give(Shapes::Maybe, 81))?
    };
    let run = run.step(Extra, |_| script.give(Shapes::Extra, ()));
    let (run, extra) = run.step(ExtraOutput, |_| script.give(Shapes::ExtraOutput, "x".to_owned()));
    let run = run.step(Last, |cx| {
        if script.tells {
            cx.warn("nearly there");
        }
        script.give(Shapes::Last, ())
    })?;
    let report = run.finish()?;
    Ok(((output, maybe, extra), report.state().clone()))
}

#[test]
fn a_run_records_every_step_once_and_hands_its_outputs_on() {
    let seen = Recorded::new();
    let (outputs, state) = drive(&seen, Script::default()).unwrap();
    assert_eq!(outputs, (80, Some(81), Some("x".to_owned())));
    assert_eq!(
        seen.lines(),
        [
            "run_start",
            "step_start critical",
            "step_end critical completed",
            "step_start output",
            "step_end output completed",
            "step_start maybe",
            "step_end maybe completed",
            "step_start extra",
            "step_end extra completed",
            "step_start extra-output",
            "step_end extra-output completed",
            "step_start last",
            "step_end last completed",
            "run_end completed",
        ]
    );
    let numbers: Vec<u64> = seen.events().iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=14).collect::<Vec<_>>());
    assert_eq!(state.status(), RunStatus::Completed);
    assert_eq!(state.step("output").unwrap().output().unwrap(), 80);
    assert_eq!(RunState::fold(&seen.events()).unwrap(), Some(state));
}

#[test]
fn a_critical_step_that_fails_stops_the_run_with_its_own_error() {
    for (step, number) in [(Shapes::Critical, 1), (Shapes::Output, 2), (Shapes::Maybe, 3), (Shapes::Last, 6)] {
        let seen = Recorded::new();
        let failure = drive(&seen, Script::failing(step)).unwrap_err();
        assert_eq!(failure.step(), Some(step));
        assert!(matches!(failure.cause(), Cause::Error(Trouble::Network)), "{:?}", failure.cause());
        assert_eq!(failure.context().record().step_number, number);
        let id = step.id();
        assert_eq!(
            seen.lines()[2 * number - 1..],
            [format!("step_start {id}"), format!("step_end {id} failed: network"), "run_end failed".to_owned()]
        );
        let never_ran: Vec<_> = failure.context().never_ran().collect();
        assert_eq!(never_ran, Shapes::steps().skip(number).collect::<Vec<_>>());
        assert_eq!(failure.state().unwrap().status(), RunStatus::Failed);
    }
}

#[test]
fn a_non_critical_step_that_fails_counts_as_skipped_and_the_run_goes_on() {
    let seen = Recorded::new();
    let (outputs, state) = drive(&seen, Script::failing(Shapes::ExtraOutput)).unwrap();
    assert_eq!(outputs.2, None);
    assert_eq!(
        seen.lines()[9..],
        [
            "step_start extra-output",
            "step_end extra-output skipped, failed: network",
            "step_start last",
            "step_end last completed",
            "run_end completed, warnings: 1",
        ]
    );
    assert_eq!(state.warnings(), 1);

    let seen = Recorded::new();
    let (outputs, state) = drive(&seen, Script::failing(Shapes::Extra)).unwrap();
    assert_eq!(outputs.2.as_deref(), Some("x"));
    assert_eq!(seen.lines()[8], "step_end extra skipped, failed: network");
    let extra = state.step("extra").unwrap();
    assert_eq!(extra.status(), StepStatus::Skipped);
    assert_eq!(extra.error().unwrap().message, "connection refused");
}

#[test]
fn a_skipped_step_says_why_and_has_no_output() {
    let seen = Recorded::new();
    let (outputs, state) = drive(&seen, Script { skips_maybe: true, ..Script::default() }).unwrap();
    assert_eq!(outputs.1, None);
    assert_eq!(seen.lines()[5], "step_end maybe skipped: not today");
    let maybe = state.step("maybe").unwrap();
    assert_eq!((maybe.skipped_because(), maybe.attempts()), (Some("not today"), 0));
    assert_eq!(state.warnings(), 0);
}

#[test]
fn the_report_names_the_steps_that_failed_without_stopping_the_run() {
    let run = Shapes::machine().id("r").begin().unwrap();
    let run = run.step(Critical, ok).unwrap();
    let (run, _) = run.step(Output, |_| Ok::<_, Trouble>(1)).unwrap();
    let run = run.skip(Maybe, "not today");
    let run = run.step(Extra, refuse);
    let (run, _) = run.step(ExtraOutput, |_| Err(Trouble::Lost));
    let report = run.skip(Last, "enough").finish().unwrap();
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Shapes::Extra, Shapes::ExtraOutput]);
    assert_eq!(report.run().to_string(), "r");
    assert_eq!(report.observer_faults(), []);
    assert_eq!(report.state().status(), RunStatus::Completed);
}

#[derive(Workflow)]
enum Weighted {
    #[step(weight = 10)]
    Light,
    #[step(weight = 50)]
    Heavy,
    #[step(weight = 40)]
    Middle,
}

#[test]
fn progress_is_weighted_moves_with_the_steps_and_never_falls() {
    let seen = Recorded::new();
    let run = Weighted::machine().observe(seen.clone()).begin().unwrap();
    let run = run.step(weighted::Light, ok).unwrap();
    let run = run.step(weighted::Heavy, |cx| {
        cx.progress(0.5);
        cx.progress(0.25);
        Ok::<(), Trouble>(())
    });
    let run = run.unwrap().step(weighted::Middle, ok).unwrap();
    run.finish().unwrap();

    let events = seen.events();
    let progress: Vec<_> = events.iter().map(|event| event.progress.as_ref().unwrap()).collect();
    let percentages: Vec<f64> = progress.iter().map(|progress| progress.percentage).collect();
    assert_eq!(percentages, [0.0, 0.0, 10.0, 10.0, 35.0, 35.0, 60.0, 60.0, 100.0, 100.0]);
    let numbers: Vec<usize> = progress.iter().map(|progress| progress.step_number).collect();
    assert_eq!(numbers, [0, 1, 1, 2, 2, 2, 2, 3, 3, 3]);
    let completed: Vec<usize> = progress.iter().map(|progress| progress.completed).collect();
    assert_eq!(completed, [0, 0, 1, 1, 1, 1, 2, 2, 3, 3]);
    assert!(progress.iter().all(|progress| progress.total_steps == 3));
    assert_eq!(progress[3].current.as_ref().unwrap(), "heavy");
}

#[test]
fn the_first_event_tells_who_runs_what_on_what() {
    let seen = Recorded::new();
    let builder = Weighted::machine().id("web-42").label("who", "anna").label("ticket", "OPS-12");
    let run = builder.input(["web"]).observe(seen.clone()).begin().unwrap();
    assert_eq!(run.run().to_string(), "web-42");
    let events = seen.events();
    let Kind::RunStart(start) = &events[0].kind else { panic!("{:?}", events[0]) };
    assert_eq!(*start.plan, *Weighted::plan());
    let labels: Vec<_> = start.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("ticket", "OPS-12"), ("who", "anna")]);
    assert_eq!(start.input, Some(serde_json::json!(["web"])));
    assert_eq!((&*events[0].workflow, events[0].v, events[0].seq), ("weighted", 1, 1));
    assert_eq!(run.state().labels(), &start.labels);
    assert_eq!(run.state().input(), start.input.as_ref());
}

#[test]
fn a_machine_that_is_dropped_leaves_a_cancelled_run() {
    let seen = Recorded::new();
    let run = Weighted::machine().observe(seen.clone()).begin().unwrap();
    drop(run.step(weighted::Light, ok).unwrap());
    assert_eq!(seen.lines()[1..], ["step_start light", "step_end light completed", "run_end cancelled"]);
    let events = seen.events();
    let Kind::RunEnd(end) = &events[3].kind else { panic!("{:?}", events[3]) };
    let failure = end.failure.as_ref().unwrap();
    assert_eq!((failure.step.as_ref(), &*failure.error.kind, failure.step_number), (None, "cancelled", 0));
}

#[test]
fn a_run_that_nobody_watches_reaches_the_same_state() {
    let all = Shapes::steps().map(Some).chain([None]);
    let all = all.flat_map(|fails| [(false, false), (false, true), (true, false), (true, true)].map(|of| (fails, of)));
    for (fails, (skips_maybe, tells)) in all {
        let drive = |watch: fn(MachineBuilder<Shapes>, &Recorded) -> MachineBuilder<Shapes>| {
            let (clock, seen) = (Ticking::default(), Recorded::new());
            let builder = watch(Shapes::machine().id("r").clock(clock), &seen);
            let state = match drive_from(builder, Script { fails, skips_maybe, tells }) {
                Ok((_, state)) => state,
                Err(failure) => failure.state().unwrap().clone(),
            };
            (state, seen)
        };
        let (watched, seen) = drive(|builder, seen| builder.observe(seen.clone()));
        let (alone, _) = drive(|builder, _| builder);
        assert_eq!(alone, watched, "{fails:?} fails");
        assert_eq!(RunState::fold(&seen.events()).unwrap(), Some(watched));
    }
}

/// A clock that moves by a millisecond whenever it is asked.
#[derive(Clone, Default)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn instant(&self) -> Instant {
        self.0.advance(Duration::from_millis(1));
        self.0.instant()
    }

    fn sleep(&self, span: Duration) {
        self.0.sleep(span);
    }
}

#[test]
fn what_a_run_gives_can_cross_threads_and_a_failure_is_one_pointer() {
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<Machine<Shapes, shapes::at::Critical>>();
    crosses_threads::<Failure<Shapes, Trouble>>();
    crosses_threads::<step_machine::Report<Shapes>>();
    crosses_threads::<step_machine::Guard<Shapes, shapes::at::Critical, Critical>>();
    crosses_threads::<step_machine::MachineBuilder<Shapes>>();
    crosses_threads::<step_machine::FailureContext<Shapes>>();
    assert_eq!(size_of::<Failure<Shapes, Trouble>>(), size_of::<usize>());
    assert_eq!(size_of::<Machine<Shapes, step_machine::End>>(), size_of::<usize>());
}
