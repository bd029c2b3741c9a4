//! The guard under a step: begun, and settled exactly once.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Machine, Returns, RunsAt};
use crate::context::{Phase, StepContext};
use crate::event::StepStatus;
use crate::failure::{Cause, StepError, advice, error_record};
use crate::journal::JournalError;
use crate::observe::Scopes;
use crate::policy::next_attempt;
use crate::recorder::Recorder;
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
    cx: StepContext,
    types: PhantomData<fn() -> (W, At, S)>,
}

/// A step whose body must not run.
#[must_use = "the run goes on with `proceed`"]
pub struct Settled<W, At, S> {
    recorder: Box<Recorder>,
    types: PhantomData<fn() -> (W, At, S)>,
}

impl<W, At, S> Guard<W, At, S>
where
    W: Workflow,
    S: Step + RunsAt<At>,
{
    #[inline]
    pub(super) fn new(recorder: Box<Recorder>) -> Self {
        Self { cx: StepContext::own(recorder, S::STEP.index(), Phase::Run), types: PhantomData }
    }

    /// What the body may do.
    #[inline]
    pub fn context(&mut self) -> &mut StepContext {
        &mut self.cx
    }

    /// What the observers want around a body that waits, where they want something.
    #[inline]
    pub(super) fn scopes(&mut self) -> Option<Scopes> {
        if self.cx.has_scopes() { self.cx.take_scopes() } else { None }
    }

    /// Runs the body inside of what the observers want around it, and settles the step by its result.
    #[cold]
    #[inline(never)]
    pub(super) fn run_inside<E: StepError>(
        mut self,
        body: impl FnOnce(&mut StepContext) -> Result<S::Output, E>,
    ) -> Returns<W, At, S, E> {
        let result = self.cx.run_inside(body);
        self.complete(result)
    }

    /// Settles the step by the body's result.
    #[inline]
    pub fn complete<E: StepError>(self, result: Result<S::Output, E>) -> Returns<W, At, S, E> {
        let mut recorder = self.cx.link.into_recorder();
        match result {
            Ok(output) if !S::Rule::HAS_OUTPUT && recorder.complete_step(S::STEP.index()) => {
                returns::<W, At, S, E>(recorder, Outcome::Done(output), None)
            }
            result => complete_with_event::<W, At, S, E>(recorder, result),
        }
    }

    /// Records that the next attempt is due, and after how long, where the step's retry rule allows one; `failed`
    /// attempts failed in this process.
    pub(super) fn next_attempt<E: StepError>(&mut self, failed: u32, error: &E) -> Option<Duration> {
        let (index, retry) = (self.cx.index, self.cx.info().retry);
        let delay = next_attempt(retry, failed, advice(error), fastrand::f64(), None)?;
        let is_recorded = self.cx.link.write(|recorder| recorder.retry(index, delay, error_record(error)));
        is_recorded.then_some(delay)
    }

    /// Waits on this thread, by the run's clock.
    pub(super) fn sleep(&self, delay: Duration) {
        self.cx.link.read(Recorder::clock).sleep(delay);
    }

    /// Begins the next attempt.
    pub(super) fn begin_again(&mut self) -> bool {
        let index = self.cx.index;
        self.cx.link.write(|recorder| recorder.begin_step(index))
    }
}

impl<W, At, S> Settled<W, At, S>
where
    W: Workflow,
    S: Step + RunsAt<At>,
{
    #[inline]
    pub(super) fn new(recorder: Box<Recorder>) -> Self {
        Self { recorder, types: PhantomData }
    }

    /// Goes on past the step, with its recorded output; a journal that failed is told here.
    pub fn proceed<E: StepError>(mut self) -> Returns<W, At, S, E> {
        let outcome = replayed::<S>(&mut self.recorder);
        returns::<W, At, S, E>(self.recorder, outcome, None)
    }
}

#[inline(never)]
fn complete_with_event<W, At, S, E>(mut recorder: Box<Recorder>, result: Result<S::Output, E>) -> Returns<W, At, S, E>
where
    W: Workflow,
    S: Step + RunsAt<At>,
    E: StepError,
{
    let (outcome, cause) = settle::<S, E>(&mut recorder, result);
    returns::<W, At, S, E>(recorder, outcome, cause)
}

/// The outcome in the shape of the step's rule.
#[inline]
fn returns<W, At, S, E>(
    recorder: Box<Recorder>,
    outcome: Outcome<S::Output>,
    cause: Option<Cause<E>>,
) -> Returns<W, At, S, E>
where
    W: Workflow,
    S: Step + RunsAt<At>,
    E: StepError,
{
    S::Rule::returns(Machine::new(recorder), outcome, |machine| {
        let mut recorder = machine.recorder;
        // A journal that failed before the step could begin is not the step's failure.
        let step = S::STEP.index();
        let step = (recorder.step(step).attempts() > 0).then_some(step);
        // The step's own error first; a journal that could not take it on top of that is kept beside it.
        let cause = cause.or_else(|| recorder.take_fault().map(Cause::Journal)).unwrap_or(Cause::Cancelled);
        Failure::new(recorder, step, cause)
    })
}

/// Records a body's result.
fn settle<S: Step, E: StepError>(
    recorder: &mut Recorder,
    result: Result<S::Output, E>,
) -> (Outcome<S::Output>, Option<Cause<E>>) {
    let step = S::STEP.index();
    let cause = match result {
        // What hands nothing on was recorded already, as far as the journal let it.
        Ok(_) if !S::Rule::HAS_OUTPUT => return (Outcome::Failed, None),
        Ok(output) => match serde_json::to_value(&output) {
            Ok(value) => {
                let is_kept = recorder.complete_step_with(step, Box::new(value));
                return (if is_kept { Outcome::Done(output) } else { Outcome::Failed }, None);
            }
            Err(error) => Cause::Output(error),
        },
        Err(error) => Cause::Error(error),
    };
    let is_kept = recorder.fail_step(step, cause.record(), None);
    let goes_on = is_kept && !recorder.state().plan().steps[step].critical;
    (if goes_on { Outcome::Skipped } else { Outcome::Failed }, Some(cause))
}

/// What the record has of a step that is not run again.
fn replayed<S: Step>(recorder: &mut Recorder) -> Outcome<S::Output> {
    if recorder.is_broken() {
        return Outcome::Failed;
    }
    let index = S::STEP.index();
    let step = recorder.step(index);
    // Rules may change between runs: what was skipped then may have to hand something on now.
    if step.status() == StepStatus::Skipped && !S::Rule::NEEDS_OUTPUT {
        return Outcome::Skipped;
    }
    // What the step handed on before it lost its `output` is of no concern any more.
    let output = step.output().filter(|_| S::Rule::HAS_OUTPUT);
    match S::Output::deserialize(output.unwrap_or(&Value::Null)) {
        Ok(output) => Outcome::Done(output),
        Err(source) => {
            let source = step.misfit(source);
            let (run, step) = (recorder.state().run().clone(), S::STEP.id().to_owned());
            recorder.break_off(JournalError::Output { run, step, source });
            Outcome::Failed
        }
    }
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
        f.debug_tuple("Settled").field(&self.recorder).finish()
    }
}
