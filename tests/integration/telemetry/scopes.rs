//! What an observer puts around bodies.

use std::sync::{Arc, Mutex};

use step_machine::event::Event;
use step_machine::observe::{ObserverFault, Scope};
use step_machine::{MachineBuilder, MemoryJournal, Observer, Workflow};

use crate::support::{Trouble, block_on, give_way, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    #[step(undo)]
    Read,
    #[step(retry(attempts = 2, delay = "0s"))]
    Write,
}
use transfer::{Read, Write};

/// Notes what is done with its scopes, and panics where it is told to.
#[derive(Clone)]
struct Fence {
    name: &'static str,
    notes: Arc<Mutex<Vec<String>>>,
    panics_at: &'static str,
}

impl Fence {
    fn new(name: &'static str, notes: &Arc<Mutex<Vec<String>>>) -> Self {
        Self { name, notes: notes.clone(), panics_at: "" }
    }

    fn note(&self, what: &str) {
        self.notes.lock().unwrap().push(format!("{} {what}", self.name));
        assert!(what != self.panics_at, "the fence broke");
    }
}

impl Observer for Fence {
    fn name(&self) -> &'static str {
        self.name
    }

    fn scope(&mut self, start: &Event) -> Option<Box<dyn Scope>> {
        self.note(&format!("{} {}", start.event_type(), start.step().unwrap()));
        Some(Box::new(Gate(self.clone())))
    }
}

struct Gate(Fence);

impl Scope for Gate {
    fn enter(&mut self) {
        self.0.note("in");
    }

    fn leave(&mut self) {
        self.0.note("out");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.note("gone");
    }
}

type Notes = Arc<Mutex<Vec<String>>>;

fn taken(notes: &Notes) -> Vec<String> {
    std::mem::take(&mut notes.lock().unwrap())
}

#[test]
fn scopes_are_entered_in_order_around_each_body_and_left_in_reverse() {
    for journal in [None, Some(MemoryJournal::new())] {
        let notes = Notes::default();
        let machine = Transfer::machine().observe(Fence::new("a", &notes)).observe(Fence::new("b", &notes));
        let run = journal.into_iter().fold(machine, MachineBuilder::journal).begin().unwrap();
        let body = notes.clone();
        let run = run.step(Read, |_| Ok::<_, Trouble>(body.lock().unwrap().push("body".to_owned()))).unwrap();
        assert_eq!(
            taken(&notes),
            ["a step_start read", "b step_start read", "a in", "b in", "body", "b out", "a out", "a gone", "b gone"]
        );
        let failure = run.step_retry(Write, refuse).unwrap_err();
        let attempt =
            ["a step_start write", "b step_start write", "a in", "b in", "b out", "a out", "a gone", "b gone"];
        assert_eq!(taken(&notes), [attempt, attempt].concat());
        drop(failure.rollback(|_, _| Ok::<(), Trouble>(())));
        let undo = ["a undo_start read", "b undo_start read", "a in", "b in", "b out", "a out", "a gone", "b gone"];
        assert_eq!(taken(&notes), undo);
    }
}

#[test]
fn a_future_is_entered_with_each_poll_and_to_be_dropped() {
    let notes = Notes::default();
    let run = Transfer::machine().observe(Fence::new("a", &notes)).begin().unwrap();
    let step = run.step_async(Read, async |_| {
        give_way().await;
        Ok::<(), Trouble>(())
    });
    let run = block_on(step).unwrap();
    // The last one is the drop of the future, whatever is left in it.
    let expected = ["a step_start read", "a in", "a out", "a in", "a out", "a in", "a out", "a gone"];
    assert_eq!(taken(&notes), expected);

    let mut step = Box::pin(run.step_async(Write, async |_| std::future::pending::<Result<(), Trouble>>().await));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(step.as_mut().poll(&mut context).is_pending());
    assert_eq!(taken(&notes), ["a step_start write", "a in", "a out"]);
    drop(step);
    assert_eq!(taken(&notes), ["a in", "a out", "a gone"]);
}

#[test]
fn a_scope_is_left_where_the_body_panics() {
    let notes = Notes::default();
    let run = Transfer::machine().observe(Fence::new("a", &notes)).begin().unwrap();
    let body = |_: &mut step_machine::StepContext| -> Result<(), Trouble> { panic!("out of memory") };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(run.step(Read, body))));
    assert!(panicked.is_err());
    assert_eq!(taken(&notes), ["a step_start read", "a in", "a out", "a gone"]);
}

#[test]
fn the_scope_of_a_body_that_the_caller_runs_is_dropped_before_the_steps_end() {
    let notes = Notes::default();
    let run = Transfer::machine().observe(Fence::new("a", &notes)).begin().unwrap();
    let step_machine::Entry::Run(guard) = run.enter(Read) else { panic!("the step has not settled") };
    assert_eq!(taken(&notes), ["a step_start read"]);
    drop(guard.complete(Ok::<(), Trouble>(())).unwrap());
    assert_eq!(taken(&notes), ["a gone"]);
}

/// What is noted and counted where a fence panics at `panics_at`.
fn broken(panics_at: &'static str) -> (Vec<String>, Vec<ObserverFault>) {
    let notes = Notes::default();
    let fragile = Fence { panics_at, ..Fence::new("a", &notes) };
    let run = Transfer::machine().observe(fragile).observe(Fence::new("b", &notes)).begin().unwrap();
    let report = run.step(Read, ok).unwrap().step(Write, ok).unwrap().finish().unwrap();
    (taken(&notes), report.observer_faults().to_vec())
}

#[test]
fn a_scope_that_panics_is_counted_and_left_alone_and_the_body_runs() {
    let b = ["b step_start read", "b in", "b out", "b gone", "b step_start write", "b in", "b out", "b gone"];
    for (panics_at, noted, panics) in [
        ("step_start read", vec!["step_start read", "step_start write", "in", "out", "gone"], 1),
        ("in", ["step_start read", "in", "gone", "step_start write", "in", "gone"].to_vec(), 2),
        ("out", ["step_start read", "in", "out", "gone", "step_start write", "in", "out", "gone"].to_vec(), 2),
        ("gone", ["step_start read", "in", "out", "gone", "step_start write", "in", "out", "gone"].to_vec(), 2),
    ] {
        let (notes, faults) = broken(panics_at);
        let (of_a, of_b): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.starts_with("a "));
        assert_eq!(of_a, noted.iter().map(|note| format!("a {note}")).collect::<Vec<_>>(), "{panics_at}");
        assert_eq!(of_b, b, "{panics_at}");
        assert_eq!(
            faults.iter().map(|fault| (fault.observer.as_str(), fault.panics)).collect::<Vec<_>>(),
            [("a", panics)]
        );
    }
}
