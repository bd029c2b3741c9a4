//! One of the runs in which something goes wrong.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use super::mismatch::Mismatch;
use crate::event::{FailureRecord, RunStatus, StepStatus, UndoStatus};
use crate::faults::{Call, Fault, Faults};
use crate::policy::OnFailure;
use crate::report::{Failure, Report};
use crate::state::{RunState, Undo};
use crate::sync::lock;
use crate::workflow::Workflow;

/// One run of [`exhaust`](super::exhaust()) and what goes wrong in it; as text, in words.
pub struct Case<W> {
    injections: Vec<Injection>,
    faults: Faults,
    seen: Arc<Mutex<Option<Seen>>>,
    workflow: PhantomData<fn() -> W>,
}

/// Something that is made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injection {
    /// The id of the step.
    pub step: &'static str,
    /// Whether it goes wrong in undoing the step.
    pub undo: bool,
    /// What goes wrong.
    pub fault: Fault,
    /// In which attempts.
    pub attempts: Attempts,
}

/// The attempts in which something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempts {
    /// Only in the first one, so that the next one makes up for it.
    First,
    /// In all of them.
    All,
}

/// What was found in a run that went as it had to.
pub(super) struct Seen {
    /// The steps that began.
    pub(super) began: Vec<usize>,
    /// The steps whose undos began.
    pub(super) undos: Vec<usize>,
}

impl Injection {
    pub(super) fn new(step: &'static str, fault: Fault, attempts: Attempts) -> Self {
        Self { step, undo: false, fault, attempts }
    }

    pub(super) fn in_undo(self) -> Self {
        Self { undo: true, ..self }
    }

    /// Whether the step, or its undo, fails by it in the end.
    pub(super) fn is_final(&self) -> bool {
        match self.fault {
            Fault::Repeat => false,
            Fault::Panic => true,
            Fault::Fail | Fault::FailAfter | Fault::Hang => self.attempts == Attempts::All,
        }
    }

    fn is_hit_by(&self, call: &Call, step: usize) -> bool {
        call.step == step && call.undo == self.undo && call.fault == Some(self.fault)
    }
}

impl<W: Workflow> Case<W> {
    pub(super) fn new(injections: Vec<Injection>) -> Self {
        let faults = injections.iter().fold(Faults::new().written_down(), |faults, injection| {
            let attempt = (injection.attempts == Attempts::First).then_some(1);
            faults.at(injection.step, injection.undo, attempt, injection.fault)
        });
        Self { injections, faults, seen: Arc::default(), workflow: PhantomData }
    }

    /// What the run is to be given by [`Runner::faults`](crate::Runner::faults). They are for one run.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// What goes wrong; nothing in the first case, which has to complete.
    pub fn injections(&self) -> &[Injection] {
        &self.injections
    }

    /// Holds the end of the run against what was injected: which step failed and by what, how the run ended, and which
    /// steps were undone in which order. How the run ended, where all is as it has to be.
    pub fn check<E>(&self, ended: &Result<Report<W>, Failure<W, E>>) -> Result<RunStatus, Mismatch> {
        let (state, failure) = match ended {
            Ok(report) => (Some(report.state()), None),
            Err(failure) => (failure.state(), Some(failure.context().record())),
        };
        let message = failure.map_or_else(String::new, |failure| failure.error.message.clone());
        let Some(state) = state else { return Err(Mismatch::NoRun { message }) };
        let check = Check::<W> { case: self, state, failure, message, calls: self.faults.calls() };
        check.all()?;
        *lock(&self.seen) = Some(Seen { began: check.began(), undos: check.undos() });
        Ok(state.status())
    }

    /// What the check found, if there was one and it found nothing to object to.
    pub(super) fn take_seen(&self) -> Option<Seen> {
        lock(&self.seen).take()
    }
}

/// The end of a run beside what it has to be.
struct Check<'c, W> {
    case: &'c Case<W>,
    state: &'c RunState,
    failure: Option<&'c FailureRecord>,
    message: String,
    calls: Vec<Call>,
}

impl<W: Workflow> Check<'_, W> {
    fn all(&self) -> Result<(), Mismatch> {
        self.hits()?;
        self.status()?;
        self.failed_step()?;
        self.steps()?;
        self.order_of_undos()
    }

    fn hits(&self) -> Result<(), Mismatch> {
        let is_hit = |injection: &Injection| {
            let step = place::<W>(injection);
            self.calls.iter().any(|call| injection.is_hit_by(call, step))
        };
        match self.case.injections.iter().find(|injection| !is_hit(injection)) {
            Some(&injection) => Err(Mismatch::NotHit { injection }),
            None => Ok(()),
        }
    }

    fn status(&self) -> Result<(), Mismatch> {
        let (expected, found) = (self.expected_status(), self.state.status());
        let message = self.message.clone();
        if found == expected { Ok(()) } else { Err(Mismatch::Status { expected, found, message }) }
    }

    fn expected_status(&self) -> RunStatus {
        if self.halting().is_none() {
            return RunStatus::Completed;
        }
        let plan = self.state.plan();
        let is_undoable = self.began().iter().any(|&step| plan.steps[step].undo);
        if plan.on_failure != OnFailure::Rollback || !is_undoable {
            return RunStatus::Failed;
        }
        let is_stuck = self.case.injections.iter().any(|injection| injection.undo && injection.is_final());
        if is_stuck { RunStatus::Stuck } else { RunStatus::RolledBack }
    }

    /// What has to stop the run.
    fn halting(&self) -> Option<&Injection> {
        let critical = |injection: &&Injection| self.state.plan().steps[place::<W>(injection)].critical;
        self.case.injections.iter().find(|injection| !injection.undo && injection.is_final()).filter(critical)
    }

    fn failed_step(&self) -> Result<(), Mismatch> {
        let (Some(halting), Some(failure)) = (self.halting(), self.failure) else { return Ok(()) };
        let found = failure.step.as_ref().map(|step| step.id().to_owned());
        let (expected, message) = (halting.step, self.message.clone());
        if found.as_deref() != Some(expected) {
            return Err(Mismatch::FailedStep { expected, found, message });
        }
        is_injected(halting, &failure.error.kind, &message)
    }

    /// Whether the steps ended as they had to in which something went wrong; without anything, all of them.
    fn steps(&self) -> Result<(), Mismatch> {
        if self.case.injections.is_empty() {
            return self.no_warnings();
        }
        for injection in self.case.injections.iter().filter(|_| self.state.status() == RunStatus::Completed) {
            let step = &self.state.steps()[place::<W>(injection)];
            let message = step.error().map_or_else(String::new, |error| error.message.clone());
            let expected = if injection.is_final() { StepStatus::Skipped } else { StepStatus::Completed };
            if step.status() != expected {
                let (step, found) = (injection.step, step.status());
                return Err(Mismatch::StepStatus { step, expected, found, message });
            }
            if let Some(error) = step.error() {
                is_injected(injection, &error.kind, &message)?;
            }
        }
        Ok(())
    }

    fn no_warnings(&self) -> Result<(), Mismatch> {
        for (index, step) in self.state.steps().iter().enumerate() {
            if let (StepStatus::Skipped, Some(error)) = (step.status(), step.error()) {
                return Err(Mismatch::StepStatus {
                    step: id::<W>(index),
                    expected: StepStatus::Completed,
                    found: step.status(),
                    message: error.message.clone(),
                });
            }
        }
        Ok(())
    }

    fn order_of_undos(&self) -> Result<(), Mismatch> {
        let is_expected = |&step: &usize| {
            let is_kept = self.state.steps()[step].undo() == Undo::Ended(UndoStatus::Skipped);
            self.state.plan().steps[step].undo && !is_kept
        };
        let goes_back = matches!(self.expected_status(), RunStatus::RolledBack | RunStatus::Stuck);
        let expected = self.began().into_iter().filter(|_| goes_back).filter(is_expected);
        let (expected, found) = (self.state.newest_first(expected), self.undos());
        if found == expected {
            return Ok(());
        }
        let ids = |steps: Vec<usize>| steps.into_iter().map(id::<W>).collect();
        Err(Mismatch::Undos { expected: ids(expected), found: ids(found) })
    }

    /// The steps that began, each once, in the order in which they did.
    fn began(&self) -> Vec<usize> {
        self.called(false)
    }

    /// The steps whose undos began, each once for all its attempts in a row.
    fn undos(&self) -> Vec<usize> {
        self.called(true)
    }

    fn called(&self, undo: bool) -> Vec<usize> {
        let mut steps: Vec<usize> = self.calls.iter().filter(|call| call.undo == undo).map(|call| call.step).collect();
        if undo {
            // An undo that runs again later shows.
            steps.dedup();
        } else {
            let mut met = vec![false; self.state.steps().len()];
            steps.retain(|&step| !std::mem::replace(&mut met[step], true));
        }
        steps
    }
}

fn is_injected(injection: &Injection, kind: &str, message: &str) -> Result<(), Mismatch> {
    let expected = if injection.fault == Fault::Panic { "panic" } else { "injected" };
    let (step, message) = (injection.step, message.to_owned());
    if kind == expected { Ok(()) } else { Err(Mismatch::OtherError { step, message }) }
}

/// Where the step stands; it was taken from the plan.
fn place<W: Workflow>(injection: &Injection) -> usize {
    W::plan().position(injection.step).unwrap_or_default()
}

pub(super) fn id<W: Workflow>(step: usize) -> &'static str {
    &W::plan().steps[step].id
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts == Attempts::First {
            f.write_str("the first attempt at ")?;
        }
        if self.undo {
            f.write_str("the undo of ")?;
        }
        let what = match self.fault {
            Fault::Fail => "fails",
            Fault::FailAfter => "fails after its work",
            Fault::Panic => "panics",
            Fault::Hang => "hangs",
            Fault::Repeat => "is repeated",
        };
        write!(f, "{} {what}", self.step)
    }
}

impl<W> fmt::Display for Case<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.injections.is_empty() {
            return f.write_str("nothing goes wrong");
        }
        for (nth, injection) in self.injections.iter().enumerate() {
            let and = if nth == 0 { "" } else { ", and " };
            write!(f, "{and}{injection}")?;
        }
        Ok(())
    }
}

impl<W> fmt::Debug for Case<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.to_string()).finish()
    }
}

impl<W> Clone for Case<W> {
    fn clone(&self) -> Self {
        Self {
            injections: self.injections.clone(),
            faults: self.faults.clone(),
            seen: self.seen.clone(),
            workflow: PhantomData,
        }
    }
}
