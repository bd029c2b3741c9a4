//! Callbacks: with lines of text, and each behind a wall of its own.

use std::sync::{Arc, Mutex};

use step_machine::event::{Event, EventType, Level, RunStatus, StepStatus};
use step_machine::observe::{Callbacks, PlainText, TextLine, callbacks};
use step_machine::time::ManualClock;
use step_machine::{MachineBuilder, Observer, StepContext, Workflow};

use crate::support::{Recorded, Trouble, ok, refuse};

#[derive(Workflow, Debug)]
enum Deploy {
    Copy,
    #[step(critical = false)]
    Scan,
    Start,
}
use deploy::{Copy, Scan, Start};

type Lines = Arc<Mutex<Vec<String>>>;

fn noted() -> (Lines, impl FnMut(&TextLine) + Send + 'static) {
    let lines = Lines::default();
    let kept = lines.clone();
    (lines, move |line: &TextLine| kept.lock().unwrap().push(line.to_string()))
}

fn copy(cx: &mut StepContext) -> Result<(), Trouble> {
    cx.message("two files");
    cx.stdout("a -> b");
    cx.progress(0.5);
    cx.warn("one is large");
    Ok(())
}

/// What observers see of a run on a clock that stands still.
fn run(observer: impl Observer + 'static) -> Vec<(String, u64)> {
    let builder: MachineBuilder<Deploy> = Deploy::machine().id("web-42").clock(ManualClock::new()).observe(observer);
    let run = builder.begin().unwrap().step(Copy, copy).unwrap().step(Scan, refuse).step(Start, ok).unwrap();
    let faults = run.finish().unwrap().observer_faults().to_vec();
    faults.into_iter().map(|fault| (fault.observer, fault.panics)).collect()
}

fn lines(observer: impl FnOnce(Callbacks, Box<dyn FnMut(&TextLine) + Send>) -> Callbacks) -> Vec<String> {
    let (lines, note) = noted();
    assert_eq!(run(observer(callbacks(), Box::new(note))), []);
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_status_is_one_line_a_step_and_one_for_each_warning() {
    let told = lines(|callbacks, note| callbacks.on_status(note));
    let expected = [
        "deploy: 3 steps, run web-42",
        "! 1/3  Copy  warning: one is large",
        "✓ 1/3  Copy     0.000 s  two files",
        "! 2/3  Scan     0.000 s  warning (network): connection refused",
        "✓ 3/3  Start    0.000 s",
        "completed with 1 warning in 0.000 s",
    ];
    assert_eq!(told, expected);
}

#[test]
fn verbose_lines_tell_everything_when_it_comes() {
    let (lines, note) = noted();
    let seen = Recorded::new();
    let run = Deploy::machine().observe(callbacks().on_verbose(note)).observe(seen.clone()).begin().unwrap();
    run.step(Copy, copy).unwrap().step(Scan, refuse).step(Start, ok).unwrap().finish().unwrap();
    let mut text = PlainText::new().level(Level::Debug).at_once();
    let events = seen.events();
    let expected: Vec<_> = events.iter().flat_map(|event| text.lines(event)).map(|line| line.to_string()).collect();
    let lines = lines.lock().unwrap();
    assert_eq!(*lines, expected);
    let at =
        |part: &str| lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {lines:?}"));
    assert!(lines[0].starts_with("deploy: 3 steps, run "));
    assert!(at("> 1/3  Copy") < at("two files"));
    assert!(at("two files") < at("a -> b") && at("a -> b") < at("one is large"));
    assert!(at("one is large") < at("✓ 1/3  Copy"));
    assert_eq!(lines.len(), 11);
}

#[test]
fn a_level_leaves_out_what_matters_less_wherever_it_stands() {
    let warnings = lines(|callbacks, note| callbacks.on_status(note).level(Level::Warning));
    let expected = [
        "! 1/3  Copy  warning: one is large",
        "! 2/3  Scan     0.000 s  warning (network): connection refused",
        "completed with 1 warning in 0.000 s",
    ];
    assert_eq!(warnings, expected);
    assert_eq!(lines(|callbacks, note| callbacks.level(Level::Warning).on_status(note)), expected);
    let verbose = lines(|callbacks, note| callbacks.level(Level::Info).on_verbose(note));
    assert!(!verbose.iter().any(|line| line.starts_with('>') || line.contains('|')), "{verbose:?}");
    assert_eq!(verbose[1], "· 1/3  Copy  two files");
    assert_eq!(lines(|callbacks, note| callbacks.on_status(note).level(Level::Error)), [""; 0]);
}

#[test]
fn a_line_has_its_level() {
    let levels: Arc<Mutex<Vec<Level>>> = Arc::default();
    let kept = levels.clone();
    run(callbacks().on_status(move |line| kept.lock().unwrap().push(line.level())));
    assert_eq!(
        *levels.lock().unwrap(),
        [Level::Info, Level::Warning, Level::Success, Level::Warning, Level::Success, Level::Warning]
    );
}

#[test]
fn a_callback_that_panics_keeps_nothing_from_its_neighbours() {
    let seen: Lines = Arc::default();
    let note = |name: &'static str| {
        let seen = seen.clone();
        move |event: &Event| seen.lock().unwrap().push(format!("{name} {}", event.seq))
    };
    let (status, verbose) = (noted(), noted());
    let observer = callbacks()
        .on_any(|event| panic!("cannot take {}", event.seq))
        .on(EventType::RunStart, note("type"))
        .on_step(StepStatus::Failed, |_| panic!("never called"))
        .on_step(StepStatus::Completed, |_| panic!("not this"))
        .on_step(StepStatus::Completed, note("step"))
        .on_run(RunStatus::Completed, |_| panic!("nor this"))
        .on_run(RunStatus::Completed, note("run"))
        .on_status(|line| panic!("cannot show {line}"))
        .on_status(status.1)
        .on_verbose(|line| panic!("cannot show {line}"))
        .on_verbose(verbose.1);
    let others = Recorded::new();
    let both = [Box::new(observer) as Box<dyn Observer>, Box::new(others.clone())];
    let faults = {
        let [first, second] = both;
        let run = Deploy::machine().id("web-42").observe(first).observe(second).begin().unwrap();
        let run = run.step(Copy, copy).unwrap().step(Scan, refuse).step(Start, ok).unwrap();
        run.finish().unwrap().observer_faults().to_vec()
    };
    assert_eq!(*seen.lock().unwrap(), ["type 1", "step 7", "step 11", "run 12"]);
    let (status, verbose) = (status.0.lock().unwrap().len(), verbose.0.lock().unwrap().len());
    assert_eq!((status, verbose, others.len()), (6, 11, 12));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].observer.ends_with("Callbacks"), "{faults:?}");
    // One for each event, the steps that completed, the run, and each line.
    assert_eq!(faults[0].panics, 12 + 2 + 1 + 6 + 11);
}

/// Panics where it is asked how often it did.
struct Sly;

impl Observer for Sly {
    fn panics(&self) -> u64 {
        panic!("that is nobody's business")
    }
}

#[test]
fn one_that_panics_when_it_is_asked_for_its_panics_is_counted_too() {
    let faults = run(Sly);
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].0.ends_with("Sly"), faults[0].1), (true, 1));
}
