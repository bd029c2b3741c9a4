//! Observers: what they are called with, in which order, and that they never hurt a run.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use step_machine::event::{
    Event, EventLines, EventType, OutputLine, RunEnd, RunResume, RunStart, RunStatus, StepEnd, StepRetry, StepStart,
    StepStatus, StepUpdate, UndoEnd, UndoStart,
};
use step_machine::observe::{JsonLines, ObserverFault, callbacks, channel};
use step_machine::{Journal, MachineBuilder, MemoryJournal, Observer, Workflow};

use crate::samples::rich_run;
use crate::support::{Recorded, Trouble, line, ok, refuse};

#[derive(Workflow, Debug)]
#[workflow(on_failure = "rollback")]
enum Deploy {
    #[step(undo)]
    Copy,
    #[step(critical = false)]
    Scan,
    #[step(skippable)]
    Announce,
    Start,
}
use deploy::{Announce, Copy, Scan, Start};

const COMPLETED: [&str; 9] = [
    "run_start",
    "step_start copy",
    "step_end copy completed",
    "step_start scan",
    "step_end scan skipped, failed: network",
    "step_end announce skipped: quiet",
    "step_start start",
    "step_end start completed",
    "run_end completed, warnings: 1",
];

/// A run that completes; what its observers did.
fn complete(builder: MachineBuilder<Deploy>) -> Vec<ObserverFault> {
    let run = builder.begin().unwrap().step(Copy, ok).unwrap().step(Scan, refuse).skip(Announce, "quiet");
    run.step(Start, ok).unwrap().finish().unwrap().observer_faults().to_vec()
}

/// A run that fails and is rolled back.
fn fail(builder: MachineBuilder<Deploy>) {
    let run = builder.begin().unwrap().step(Copy, ok).unwrap().step(Scan, ok).skip(Announce, "quiet");
    drop(run.step(Start, refuse).unwrap_err().rollback(|_, _| Ok::<(), Trouble>(())));
}

/// Nothing but the defaults.
struct Quiet;

impl Observer for Quiet {}

#[test]
fn an_observer_needs_no_method_of_its_own() {
    assert_eq!(complete(Deploy::machine().observe(Quiet)), []);
    assert!(Quiet.name().ends_with("observers::Quiet"), "{}", Quiet.name());
    for event in rich_run() {
        Quiet.event(&event);
    }
}

/// Writes down which method was called with what.
struct Typed(Arc<Mutex<Vec<String>>>);

impl Typed {
    fn note(&self, method: &str, event: &Event) {
        self.0.lock().unwrap().push(format!("{method}: {}", line(event)));
    }
}

impl Observer for Typed {
    fn event(&mut self, event: &Event) {
        self.note("event", event);
    }
    fn run_start(&mut self, event: &Event, start: &RunStart) {
        assert_eq!(start.plan.workflow, event.workflow);
        self.note("run_start", event);
    }
    fn run_resume(&mut self, event: &Event, _: &RunResume) {
        self.note("run_resume", event);
    }
    fn step_start(&mut self, event: &Event, start: &StepStart) {
        assert_eq!(start.step, event.step().unwrap());
        self.note("step_start", event);
    }
    fn step_update(&mut self, event: &Event, _: &StepUpdate) {
        self.note("step_update", event);
    }
    fn step_retry(&mut self, event: &Event, _: &StepRetry) {
        self.note("step_retry", event);
    }
    fn step_end(&mut self, event: &Event, _: &StepEnd) {
        self.note("step_end", event);
    }
    fn stdout(&mut self, event: &Event, _: &OutputLine) {
        self.note("stdout", event);
    }
    fn stderr(&mut self, event: &Event, _: &OutputLine) {
        self.note("stderr", event);
    }
    fn undo_start(&mut self, event: &Event, _: &UndoStart) {
        self.note("undo_start", event);
    }
    fn undo_end(&mut self, event: &Event, _: &UndoEnd) {
        self.note("undo_end", event);
    }
    fn run_end(&mut self, event: &Event, _: &RunEnd) {
        self.note("run_end", event);
    }
}

#[test]
fn each_event_goes_to_event_and_then_to_the_method_of_its_type() {
    let (noted, seen) = (Arc::default(), Recorded::new());
    let run = Deploy::machine().observe(Typed(Arc::clone(&noted))).observe(seen.clone()).begin().unwrap();
    let run = run.step(Copy, |cx| {
        cx.message("copying");
        cx.stdout("a");
        cx.stderr("b");
        Ok::<(), Trouble>(())
    });
    let run = run.unwrap().step(Scan, refuse).skip(Announce, "quiet");
    drop(run.step(Start, refuse).unwrap_err().rollback(|_, _| Ok::<(), Trouble>(())));
    let expected = seen.events().into_iter().flat_map(|event| {
        let line = line(&event);
        [format!("event: {line}"), format!("{}: {line}", event.event_type())]
    });
    assert_eq!(*noted.lock().unwrap(), expected.collect::<Vec<_>>());
}

#[test]
fn callbacks_are_called_for_what_they_ask_for() {
    let noted: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = |name: &'static str| {
        let noted = Arc::clone(&noted);
        move |event: &Event| noted.lock().unwrap().push(format!("{name}: {}", line(event)))
    };
    let observer = callbacks()
        .on(EventType::RunStart, note("type"))
        .on_step(StepStatus::Running, note("runs"))
        .on_step(StepStatus::Skipped, note("skipped"))
        .on_step(StepStatus::Failed, note("failed"))
        .on_step(StepStatus::Undone, note("undone"))
        .on_run(RunStatus::Running, note("run"))
        .on_run(RunStatus::RollingBack, note("back"))
        .on_run(RunStatus::RolledBack, note("over"));
    fail(Deploy::machine().observe(observer));
    assert_eq!(
        *noted.lock().unwrap(),
        [
            "type: run_start",
            "run: run_start",
            "runs: step_start copy",
            "runs: step_start scan",
            "skipped: step_end announce skipped: quiet",
            "runs: step_start start",
            "failed: step_end start failed: network",
            "back: undo_start copy",
            "undone: undo_end copy undone",
            "over: run_end rolled_back",
        ]
    );
}

#[test]
fn a_callback_for_any_event_is_called_for_all_of_them() {
    let count = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&count);
    assert_eq!(complete(Deploy::machine().observe(callbacks().on_any(move |_| *counter.lock().unwrap() += 1))), []);
    assert_eq!(*count.lock().unwrap(), COMPLETED.len());
}

#[test]
fn a_channel_gives_all_events_in_order_and_ends_with_the_run() {
    let (observer, events) = channel();
    let reader = std::thread::spawn(move || events.iter().map(|event| line(&event)).collect::<Vec<_>>());
    complete(Deploy::machine().observe(observer));
    assert_eq!(reader.join().unwrap(), COMPLETED);

    // The report is no reason to wait on.
    let (observer, events) = channel();
    let run = Deploy::machine().observe(observer).begin().unwrap().step(Copy, ok).unwrap().step(Scan, ok);
    let report = run.skip(Announce, "quiet").step(Start, ok).unwrap().finish().unwrap();
    assert_eq!(events.iter().count(), 9);
    drop(report);

    let (observer, events) = channel();
    drop(Deploy::machine().observe(observer).begin().unwrap());
    assert_eq!(events.iter().map(|event| line(&event)).collect::<Vec<_>>(), ["run_start", "run_end cancelled"]);

    let (observer, events) = channel();
    fail(Deploy::machine().observe(observer));
    assert_eq!(line(&events.iter().last().unwrap()), "run_end rolled_back");
}

#[test]
fn a_channel_that_nobody_reads_hurts_nobody() {
    let (observer, events) = channel();
    drop(events);
    let seen = Recorded::new();
    assert_eq!(complete(Deploy::machine().observe(observer).observe(seen.clone())), []);
    assert_eq!(seen.lines(), COMPLETED);
}

/// Panics at the ends of steps.
struct Fragile;

impl Observer for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn step_end(&mut self, event: &Event, _: &StepEnd) {
        panic!("cannot show {}", event.seq);
    }
}

#[test]
fn an_observer_that_panics_is_counted_and_named_and_the_others_see_everything() {
    let (before, after) = (Recorded::new(), Recorded::new());
    let builder = Deploy::machine().observe(before.clone()).observe(Fragile).observe(after.clone()).observe(Quiet);
    let faults = complete(builder);
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].observer.as_str(), faults[0].panics), ("fragile", 4));
    assert_eq!(before.lines(), COMPLETED);
    assert_eq!(after.events(), before.events());
}

/// A writer that several hold, which fails from its call number `fails` on.
#[derive(Clone, Default)]
struct Shared {
    text: Arc<Mutex<Vec<u8>>>,
    calls: Arc<Mutex<(usize, usize)>>,
    fails: Option<usize>,
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut calls = self.calls.lock().unwrap();
        calls.0 += 1;
        if self.fails.is_some_and(|fails| calls.0 >= fails) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.calls.lock().unwrap().1 += 1;
        Ok(())
    }
}

#[test]
fn json_lines_read_back_as_the_events_they_were() {
    let (writer, seen) = (Shared::default(), Recorded::new());
    complete(Deploy::machine().observe(JsonLines::new(writer.clone())).observe(seen.clone()));
    let text = writer.text.lock().unwrap().clone();
    let read: Vec<Event> = EventLines::new(text.as_slice()).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, seen.events());
    assert_eq!(*writer.calls.lock().unwrap(), (9, 9), "each line is one write and can be seen at once");

    let (writer, events) = (Shared::default(), rich_run());
    let mut observer = JsonLines::new(writer.clone());
    for event in &events {
        observer.event(event);
    }
    let text = writer.text.lock().unwrap().clone();
    let read: Vec<Event> = EventLines::new(text.as_slice()).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, events);
}

#[test]
fn a_writer_that_fails_is_left_alone_and_the_run_goes_on() {
    let writer = Shared { fails: Some(3), ..Shared::default() };
    let seen = Recorded::new();
    let faults = complete(Deploy::machine().observe(JsonLines::new(writer.clone())).observe(seen.clone()));
    assert_eq!(faults, []);
    assert_eq!(writer.calls.lock().unwrap().0, 3, "a closed pipe is not written to again");
    assert_eq!(EventLines::new(writer.text.lock().unwrap().as_slice()).count(), 2);
    assert_eq!(seen.lines(), COMPLETED);
}

/// Looks up every event that it sees in the journal.
struct Auditor(MemoryJournal);

impl Observer for Auditor {
    fn event(&mut self, event: &Event) {
        assert_eq!(self.0.load(&event.run).wait().unwrap().last(), Some(event));
    }
}

#[test]
fn an_event_is_durable_before_anybody_sees_it() {
    let journal = MemoryJournal::new();
    let builder = Deploy::machine().journal(journal.clone()).observe(Auditor(journal.clone()));
    assert_eq!(complete(builder), [], "the auditor found every event in the journal");
}

#[test]
fn observers_see_an_event_in_the_order_in_which_they_were_added() {
    let noted: Arc<Mutex<Vec<(u64, char)>>> = Arc::default();
    let note = |name| {
        let noted = Arc::clone(&noted);
        callbacks().on_any(move |event| noted.lock().unwrap().push((event.seq, name)))
    };
    drop(Deploy::machine().observe(note('a')).observe(note('b')).begin().unwrap());
    assert_eq!(*noted.lock().unwrap(), [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]);
}

/// Counts what it is called with.
struct Counting(Arc<Mutex<(usize, usize)>>);

impl Observer for Counting {
    fn event(&mut self, _: &Event) {
        self.0.lock().unwrap().0 += 1;
    }

    fn step_end(&mut self, _: &Event, _: &StepEnd) {
        self.0.lock().unwrap().1 += 1;
    }
}

#[test]
fn an_observer_in_a_box_is_called_as_often_as_one_without() {
    let counts = Arc::new(Mutex::new((0, 0)));
    let boxed: Box<dyn Observer> = Box::new(Counting(counts.clone()));
    let run = Deploy::machine().observe(boxed).begin().unwrap();
    let run = run.step(Copy, ok).unwrap().step(Scan, ok).skip(Announce, "quiet");
    run.step(Start, ok).unwrap().finish().unwrap();
    // run_start, three steps with two events, one that is skipped, run_end.
    assert_eq!(*counts.lock().unwrap(), (9, 4));
}
