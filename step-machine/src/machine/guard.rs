//! The guard under a step: begun, and settled exactly once.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde_json::Value;

use super::{Machine, Returns, RunsAt};
use crate::context::StepContext;
use crate::event::StepStatus;
use crate::failure::{Cause, StepError};
use crate::journal::JournalError;
use crate::report::Failure;
use crate::rule::{Outcome, Rule};
use crate::workflow::{Step, Workflow};

/// What [`Machine::enter`] gives.
#[must_use = "the step is neither run nor passed"]
pub enum Entry<W, At, S> {
    /// The step has begun; the body is to run now.
    Run(Guard<W, At, S>),
    /// The body must not run: the step has settled before, or the journal failed.
    Settled(Settled<W, At, S>),
}

/// A step that has begun. Dropped unsettled, as by a panic or a cancelled future, it leaves the step as cancelled.
#[must_use = "a guard that is dropped leaves the step as cancelled"]
pub struct Guard<W, At, S> {
    cx: Box<StepContext>,
    types: PhantomData<fn() -> (W, At, S)>,
}

/// A step whose body must not run.
#[must_use = "the run goes on with `proceed`"]
pub struct Settled<W, At, S> {
    cx: Box<StepContext>,
    types: PhantomData<fn() -> (W, At, S)>,
}

impl<W, At, S> Guard<W, At, S>
where
    W: Workflow,
    S: Step + RunsAt<At>,
{
    #[inline]
    pub(super) fn new(cx: Box<StepContext>) -> Self {
        Self { cx, types: PhantomData }
    }

    /// What the body may do.
    #[inline]
    pub fn context(&mut self) -> &mut StepContext {
        &mut self.cx
    }

    /// Settles the step by the body's result.
    #[inline]
    pub fn complete<E: StepError>(mut self, result: Result<S::Output, E>) -> Returns<W, At, S, E> {
        match result {
            Ok(output) if !S::Rule::HAS_OUTPUT && self.cx.complete_step() => {
                returns::<W, At, S, E>(self.cx, Outcome::Done(output), None)
            }
            result => self.complete_with_event(result),
        }
    }

    #[inline(never)]
    fn complete_with_event<E: StepError>(mut self, result: Result<S::Output, E>) -> Returns<W, At, S, E> {
        let (outcome, cause) = self.cx.settle::<S, E>(result);
        returns::<W, At, S, E>(self.cx, outcome, cause)
    }

    /// Waits and begins the next attempt where the step's retry rule allows one.
    pub(super) fn try_again<E: StepError>(&mut self, failed: u32, error: &E) -> bool {
        self.context().retry_step(failed, error)
    }
}

impl<W, At, S> Settled<W, At, S>
where
    W: Workflow,
    S: Step + RunsAt<At>,
{
    #[inline]
    pub(super) fn new(cx: Box<StepContext>) -> Self {
        Self { cx, types: PhantomData }
    }

    /// Goes on past the step, with its recorded output; a journal that failed is told here.
    pub fn proceed<E: StepError>(mut self) -> Returns<W, At, S, E> {
        let outcome = self.cx.replayed::<S>();
        returns::<W, At, S, E>(self.cx, outcome, None)
    }
}

/// The outcome in the shape of the step's rule.
#[inline]
fn returns<W, At, S, E>(
    cx: Box<StepContext>,
    outcome: Outcome<S::Output>,
    cause: Option<Cause<E>>,
) -> Returns<W, At, S, E>
where
    W: Workflow,
    S: Step + RunsAt<At>,
    E: StepError,
{
    S::Rule::returns(Machine::new(cx), outcome, |machine| {
        let mut cx = machine.cx;
        // A journal that failed before the step could begin is not the step's failure.
        let step = (cx.step_state().attempts() > 0).then_some(cx.index);
        // The step's own error first; a journal that could not take it on top of that is kept beside it.
        let cause = cause.or_else(|| cx.recorder.take_fault().map(Cause::Journal)).unwrap_or(Cause::Cancelled);
        Failure::new(cx, step, cause)
    })
}

impl<W, At, S> fmt::Debug for Entry<W, At, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(guard) => f.debug_tuple("Run").field(guard).finish(),
            Self::Settled(settled) => f.debug_tuple("Settled").field(settled).finish(),
        }
    }
}

impl<W, At, S> fmt::Debug for Guard<W, At, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.cx).finish()
    }
}

impl<W, At, S> fmt::Debug for Settled<W, At, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settled").field(&self.cx).finish()
    }
}

impl StepContext {
    /// Records a body's result.
    fn settle<S: Step, E: StepError>(
        &mut self,
        result: Result<S::Output, E>,
    ) -> (Outcome<S::Output>, Option<Cause<E>>) {
        let cause = match result {
            // What hands nothing on was recorded already, as far as the journal let it.
            Ok(_) if !S::Rule::HAS_OUTPUT => return (Outcome::Failed, None),
            Ok(output) => match serde_json::to_value(&output) {
                Ok(value) => {
                    let recorded = self.complete_step_with(value);
                    return (if recorded { Outcome::Done(output) } else { Outcome::Failed }, None);
                }
                Err(error) => Cause::Output(error),
            },
            Err(error) => Cause::Error(error),
        };
        let recorded = self.fail_step(cause.record());
        let goes_on = recorded && !self.info().critical;
        (if goes_on { Outcome::Skipped } else { Outcome::Failed }, Some(cause))
    }

    /// What the record has of a step that is not run again.
    fn replayed<S: Step>(&mut self) -> Outcome<S::Output> {
        if self.recorder.is_broken() {
            return Outcome::Failed;
        }
        let step = self.step_state();
        // Rules may change between runs: what was skipped then may have to hand something on now.
        if step.status() == StepStatus::Skipped && !S::Rule::NEEDS_OUTPUT {
            return Outcome::Skipped;
        }
        // What the step handed on before it lost its `output` is of no concern any more.
        let output = step.output().filter(|_| S::Rule::HAS_OUTPUT);
        match S::Output::deserialize(output.unwrap_or(&Value::Null)) {
            Ok(output) => Outcome::Done(output),
            Err(source) => {
                let (run, step) = (self.run().clone(), self.step().to_owned());
                self.recorder.break_off(JournalError::Output { run, step, source });
                Outcome::Failed
            }
        }
    }
}
