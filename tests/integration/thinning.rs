//! Fractions that come faster than anybody can look: which of them become events, and that the last one always does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use step_machine::event::{Event, Kind};
use step_machine::journal::Journal;
use step_machine::time::{Clock, ManualClock};
use step_machine::{MachineBuilder, MemoryJournal, RunState, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble, ok};

#[derive(Workflow, Debug, PartialEq)]
enum Load {
    #[step(retry(attempts = 3, delay = "1s", jitter = false), undo)]
    Files,
    Check,
}
use load::{Check, Files};

/// What a run tells whose first step has this body, from the first news on, with three in a row and then one in 100 ms.
fn told(body: impl FnMut(&mut StepContext, &ManualClock) -> Result<(), Trouble>) -> Vec<String> {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    run(Load::machine().observe(seen.clone()).clock(clock.clone()).thin_progress(3, 10), &clock, body);
    seen.lines()[2..].to_vec()
}

fn run(
    builder: MachineBuilder<Load>,
    clock: &ManualClock,
    mut body: impl FnMut(&mut StepContext, &ManualClock) -> Result<(), Trouble>,
) -> Option<RunState> {
    let run = builder.begin().unwrap().step_retry(Files, |cx| body(cx, clock)).ok()?;
    Some(run.step(Check, ok).unwrap().finish().unwrap().state().clone())
}

const REST: [&str; 4] =
    ["step_end files completed", "step_start check", "step_end check completed", "run_end completed"];

fn with_rest<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    lines.into_iter().chain(REST).collect()
}

#[test]
fn what_comes_too_fast_is_replaced_by_the_newest() {
    let lines = told(|cx, clock| {
        (1..=9).for_each(|tenth| cx.progress(f64::from(tenth) / 10.0));
        clock.advance(Duration::from_millis(99));
        cx.progress(0.91);
        clock.advance(Duration::from_millis(1));
        cx.progress(0.92);
        cx.progress(0.93);
        Ok(())
    });
    let expected = [
        "step_update files 0.1",
        "step_update files 0.2",
        "step_update files 0.3",
        // 0.4 to 0.91.
        "step_update files 0.92 after 7 more",
        "step_update files 0.93",
    ];
    assert_eq!(lines, with_rest(expected));
}

#[test]
fn what_is_held_back_is_told_before_anything_else_of_the_step() {
    let lines = told(|cx, _| {
        for (tenth, say) in [0, 1, 2, 3, 4, 5, 6, 7].into_iter().zip([0, 0, 0, 0, 1, 2, 3, 4]) {
            cx.progress(f64::from(tenth) / 10.0);
            match say {
                1 => cx.message("on"),
                2 => cx.metadata("files", 3),
                3 => cx.stdout("a line"),
                4 => cx.stderr("another one"),
                _ => {}
            }
        }
        cx.warn("nothing is left to tell before this");
        Ok(())
    });
    let expected = [
        "step_update files 0",
        "step_update files 0.1",
        "step_update files 0.2",
        "step_update files 0.4 after 1 more",
        "step_update files info: on",
        "step_update files 0.5",
        "step_update files files=3",
        "step_update files 0.6",
        "stdout files a line",
        "step_update files 0.7",
        "stderr files another one",
        "step_update files warning: nothing is left to tell before this",
    ];
    assert_eq!(lines, with_rest(expected));
}

#[test]
fn the_last_of_an_attempt_is_told_before_its_failure() {
    let lines = told(|cx, _| {
        (1..=5).for_each(|tenth| cx.progress(f64::from(tenth) / 10.0));
        if cx.attempt() == 3 { Ok(()) } else { Err(Trouble::Network) }
    });
    let expected = [
        "step_update files 0.1",
        "step_update files 0.2",
        "step_update files 0.3",
        "step_update files 0.5 after 1 more",
        "step_retry files in 1s after network",
        // A second is enough for three more.
        "step_start files #2",
        "step_update files 0.1",
        "step_update files 0.2",
        "step_update files 0.3",
        "step_update files 0.5 after 1 more",
        "step_retry files #2 in 2s after network",
        "step_start files #3",
        "step_update files 0.1",
        "step_update files 0.2",
        "step_update files 0.3",
        "step_update files 0.5 after 1 more",
        "step_end files completed #3",
    ];
    let rest = REST[1..].iter().copied();
    assert_eq!(lines, expected.into_iter().chain(rest).collect::<Vec<_>>());
}

/// The news of tasks and steps in short, from the third event on.
fn short(events: &[Event]) -> Vec<String> {
    let short = |event: &Event| match &event.kind {
        Kind::StepUpdate(update) => format!("step {:?} after {}", update.fraction, update.thinned),
        Kind::TaskUpdate(update) => match &update.message {
            Some(message) => format!("{} says {message}", update.task),
            None => format!("{} {:?} after {}", update.task, update.fraction, update.thinned),
        },
        Kind::TaskStart(start) => format!("{} begins", start.task),
        Kind::TaskEnd(end) => format!("{} {}", end.task, end.status),
        other => other.event_type().to_string(),
    };
    events[2..].iter().map(short).collect()
}

#[test]
fn each_task_is_thinned_by_itself_and_its_last_fraction_told_before_its_end() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let builder = Load::machine().observe(seen.clone()).clock(clock.clone()).thin_progress(1, 10);
    let state = run(builder, &clock, |cx, _| {
        let (mut a, mut b) = (cx.task("a", "A"), cx.task("b", "B"));
        for tenth in 1..=4 {
            a.progress(f64::from(tenth) / 10.0);
            b.progress(f64::from(tenth) / 20.0);
        }
        a.message("half");
        a.progress(0.6);
        a.complete();
        b.fail("lost");
        Ok(())
    });
    let expected = [
        "a begins",
        "b begins",
        "a Some(0.1) after 0",
        "b Some(0.05) after 0",
        "a Some(0.4) after 2",
        "a says half",
        "a Some(0.6) after 0",
        "a completed",
        "b Some(0.2) after 2",
        "b failed",
        "step_end",
        "step_start",
        "step_end",
        "run_end",
    ];
    assert_eq!(short(&seen.events()), expected);
    assert_eq!(state.unwrap().thinned(), 4);
}

#[test]
fn fractions_of_a_step_and_of_its_tasks_keep_their_order() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let builder = Load::machine().observe(seen.clone()).clock(clock.clone()).thin_progress(1, 10);
    let mut left = None;
    run(builder, &clock, |cx, clock| {
        let mut task = cx.task("a", "A");
        cx.progress(0.1);
        task.progress(0.1);
        cx.progress(0.9);
        task.progress(0.5);
        clock.advance(Duration::from_millis(100));
        // The task's is told now, and so the step's before it.
        task.progress(0.6);
        task.progress(0.7);
        cx.progress(0.8);
        left = Some(task);
        Ok(())
    });
    let expected = [
        "a begins",
        "step Some(0.1) after 0",
        "a Some(0.1) after 0",
        "step Some(0.9) after 0",
        "a Some(0.6) after 1",
        // A token is there for the step's.
        "a Some(0.7) after 0",
        "step Some(0.8) after 0",
        "step_end",
        "step_start",
        "step_end",
        "run_end",
    ];
    assert_eq!(short(&seen.events()), expected);
    drop(left);
    assert_eq!(seen.len(), 2 + expected.len(), "the task says nothing after the step");
}

#[test]
fn a_hundred_thousand_leave_few_events_and_all_are_counted() {
    const ALL: u32 = 100_000;
    let (seen, journal, clock) = (Recorded::new(), TextJournal::new(), ManualClock::new());
    let builder = Load::machine().id("r").observe(seen.clone()).journal(journal.clone()).clock(clock.clone());
    let state = run(builder, &clock, |cx, clock| {
        for update in 1..=ALL {
            // A second in all.
            clock.advance(Duration::from_micros(10));
            cx.progress(f64::from(update) / f64::from(ALL));
        }
        Ok(())
    });
    let updates: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| if let Kind::StepUpdate(update) = event.kind { Some(*update) } else { None })
        .collect();
    // A hundred in a row, one every 50 ms from then on, and the last.
    assert_eq!(updates.len(), 100 + 19 + 1);
    assert_eq!(updates.last().unwrap().fraction, Some(1.0));
    let thinned: u64 = updates.iter().map(|update| update.thinned).sum();
    assert_eq!(thinned, u64::from(ALL) - 120);
    assert_eq!(journal.events("r"), seen.events());
    assert_eq!(state.unwrap().thinned(), thinned);
    assert_eq!(journal.fold("r").unwrap().unwrap().thinned(), thinned);
}

#[test]
fn the_count_goes_on_where_the_run_does() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::new());
    let builder = || Load::machine().id("r").journal(journal.clone()).clock(clock.clone()).thin_progress(1, 1);
    let failure = builder().begin().unwrap().step(Files, |cx| {
        (1..=5).for_each(|tenth| cx.progress(f64::from(tenth) / 10.0));
        Err(Trouble::Network)
    });
    let failure = failure.unwrap_err();
    let state = failure.state().unwrap();
    assert_eq!((state.thinned(), state.step("files").unwrap().fraction()), (3, 0.5));
    drop(failure);
    let run = builder().begin().unwrap().step(Files, |cx| {
        (1..=4).for_each(|tenth| cx.progress(f64::from(tenth) / 10.0));
        Ok::<(), Trouble>(())
    });
    let report = run.unwrap().step(Check, ok).unwrap().finish().unwrap();
    assert_eq!(report.thinned(), 5);
}

#[test]
fn without_a_limit_each_becomes_an_event() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let builder = Load::machine().observe(seen.clone()).clock(clock.clone()).thin_progress(u32::MAX, u32::MAX);
    let state = run(builder, &clock, |cx, _| {
        (0..1_000).for_each(|part| cx.progress(f64::from(part) / 1_000.0));
        Ok(())
    });
    assert_eq!((seen.len(), state.unwrap().thinned()), (1_006, 0));
}

#[test]
fn without_a_burst_only_the_last_before_something_else_does() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    run(Load::machine().observe(seen.clone()).clock(clock.clone()).thin_progress(0, 1), &clock, |cx, clock| {
        for tenth in 1..=5 {
            clock.advance(Duration::from_secs(60));
            cx.progress(f64::from(tenth) / 10.0);
        }
        Ok(())
    });
    assert_eq!(seen.lines()[2..4], ["step_update files 0.5 after 4 more", "step_end files completed"]);
}

/// A clock that counts how often it is asked.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>, ManualClock);

impl Clock for Counting {
    fn wall(&self) -> SystemTime {
        self.1.wall()
    }

    fn instant(&self) -> Instant {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.instant()
    }

    fn sleep(&self, span: Duration) {
        self.1.sleep(span);
    }
}

#[test]
fn one_that_is_held_back_reads_the_clock_once_and_allocates_nothing() {
    let (clock, seen) = (Counting::default(), Recorded::new());
    let builder = Load::machine().clock(clock.clone()).journal(MemoryJournal::new()).observe(seen.clone());
    let run = builder.begin().unwrap().step(Files, |cx| {
        let mut task = cx.task("a", "A");
        (0..101).for_each(|_| cx.progress(0.1));
        (0..101).for_each(|_| task.progress(0.1));
        let (asked, events) = (clock.0.load(Ordering::Relaxed), seen.len());
        let taken = allocation_counter::measure(|| {
            for _ in 0..1_000 {
                cx.progress(0.2);
                task.progress(0.2);
            }
        });
        assert_eq!((taken.count_total, clock.0.load(Ordering::Relaxed) - asked), (0, 2_000));
        assert_eq!(seen.len(), events);
        task.complete();
        Ok::<(), Trouble>(())
    });
    run.unwrap().step(Check, ok).unwrap().finish().unwrap();
}

#[test]
fn a_step_after_one_that_told_fractions_is_recorded_as_it_would_be_without() {
    // The short way is open again: a run without observers ends in the same state as one with.
    let states = [false, true].map(|is_watched| {
        let clock = ManualClock::new();
        let builder = Load::machine().id("r").clock(clock.clone()).thin_progress(1, 1);
        let builder = if is_watched { builder.observe(Recorded::new()) } else { builder };
        run(builder, &clock, |cx, clock| {
            (1..=3).for_each(|tenth| cx.progress(f64::from(tenth) / 10.0));
            clock.advance(Duration::from_millis(5));
            Ok(())
        })
    });
    assert_eq!(states[0], states[1]);
    assert_eq!(states[0].as_ref().unwrap().thinned(), 1);
    assert_eq!(states[0].as_ref().unwrap().seq(), 8);
}

/// Runs inside of a step of another one.
#[derive(Workflow, Debug)]
enum Inner {
    Work,
}

#[derive(Workflow, Debug)]
#[workflow(parallel)]
enum Outer {
    #[step(undo)]
    Left,
    Right,
    #[step(needs(Left, Right))]
    Nested,
}

struct Worker;

impl InnerHandler for Worker {
    type Error = Trouble;

    async fn work(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        (1..=1_000).for_each(|part| cx.progress(f64::from(part) / 1_000.0));
        Err(Trouble::Template)
    }
}

impl Worker {
    /// Tells a lot from here and, by tasks, from other threads.
    async fn tell(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        let tasks: Vec<_> = (0..3).map(|task| cx.task(format!("t{task}"), "T")).collect();
        let threads: Vec<_> = tasks
            .into_iter()
            .map(|mut task| {
                std::thread::spawn(move || {
                    (1..=1_000).for_each(|part| task.progress(f64::from(part) / 2_000.0));
                    task
                })
            })
            .collect();
        let tasks: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        tokio::task::yield_now().await;
        // They are left open: the end of the step tells what they had told.
        tasks.into_iter().for_each(std::mem::forget);
        Ok(())
    }
}

impl OuterHandler for Worker {
    type Error = Trouble;

    async fn left(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.tell(cx).await
    }

    async fn right(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        self.tell(cx).await
    }

    async fn nested(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.nested(Inner::run(self)).await.map(drop).map_err(|_| Trouble::Template)
    }

    async fn undo_left(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        (1..=1_000).for_each(|part| cx.progress(f64::from(part) / 1_000.0));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_steps_and_nested_runs_and_undos_are_thinned_too() {
    let (seen, journal) = (Recorded::new(), MemoryJournal::new());
    let run = Outer::run(Arc::new(Worker)).id("r").observe(seen.clone()).journal(journal.clone()).thin_progress(5, 1);
    let failure = run.on_failure(step_machine::OnFailure::Rollback).await.unwrap_err();
    let events = seen.events();
    let of = |run: &str| events.iter().filter(|event| event.run.to_string() == run).cloned().collect::<Vec<_>>();
    for run in ["r", "r/nested/inner"] {
        let events = of(run);
        assert_eq!(RunState::fold(&events).unwrap().unwrap().seq(), events.len() as u64);
        assert_eq!(journal.load(&run.into()).wait().unwrap(), events);
    }
    let outer = of("r");
    for step in ["left", "right"] {
        for task in ["t0", "t1", "t2"] {
            let last = outer.iter().rev().find_map(|event| match &event.kind {
                Kind::TaskUpdate(update) if update.step == step && update.task == task => Some(update),
                _ => None,
            });
            assert_eq!(last.unwrap().fraction, Some(0.5), "{step} {task}");
        }
    }
    let told = |events: &[Event]| {
        let fractions = events.iter().filter_map(|event| match &event.kind {
            Kind::StepUpdate(update) => Some((update.fraction?, update.thinned)),
            Kind::TaskUpdate(update) => Some((update.fraction?, update.thinned)),
            _ => None,
        });
        fractions.fold((0, 0), |(told, thinned), (_, more)| (told + 1, thinned + more))
    };
    let (outer_told, outer_thinned) = told(&outer);
    let (inner_told, inner_thinned) = told(&of("r/nested/inner"));
    // Two steps with three tasks, an undo, and what is told of the nested run.
    assert_eq!(outer_told + outer_thinned, 7_000 + inner_told);
    assert_eq!(inner_told + inner_thinned, 1_000);
    assert!(inner_told < 20 && outer_told < 120, "{inner_told} and {outer_told} were told");
    assert_eq!(failure.state().unwrap().thinned(), outer_thinned);
}
