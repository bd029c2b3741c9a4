//! What the derives write calls to. Not part of the public interface: it changes with the macro crate, which is why the
//! two are released in one version.

use std::time::Duration;

use crate::machine::MachineBuilder;
use crate::workflow::{Plan, StepInfo, Workflow};

pub fn machine<W: Workflow>() -> MachineBuilder<W> {
    MachineBuilder::new()
}

pub fn describe(plan: &mut Plan, description: &str, parallel: bool) {
    description.clone_into(&mut plan.description);
    plan.parallel = parallel;
}

pub fn step(id: &str, name: &str, description: &str) -> StepInfo {
    let mut step = StepInfo::new(id, name);
    description.clone_into(&mut step.description);
    step
}

/// A step, by its marker, in which a workflow runs.
///
/// All that the derive writes asks the marker for it, so that a type which is no workflow is reported where it is named.
pub trait Nesting {
    type Inner: Workflow;
}

/// Puts a workflow inside of a step. Its steps are undone by their own undos, so there the step can be undone too.
pub fn nest<S: Nesting>(step: &mut StepInfo, marker: S) {
    let _ = marker;
    let plan = S::Inner::plan();
    step.undo = plan.steps.iter().any(|inner| inner.undo);
    step.nested = Some(plan.into());
}

/// The depth of a workflow with this step, where the others make it so deep.
pub const fn depth<S: Nesting>(others: usize) -> usize {
    // Where there is no answer, the compiler shows this line, and nothing else says why.
    let own = <S::Inner as Workflow>::DEPTH + 1; // a workflow that is nested in itself, by way of others, has no end
    if own > others { own } else { others }
}

pub fn push(texts: &mut Vec<String>, text: &str) {
    texts.push(text.to_owned());
}

/// What a field named by `retry_after` may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a time to wait",
    label = "a field named by `retry_after` is a `Duration` or an `Option<Duration>`"
)]
pub trait RetryAfter {
    fn retry_after(&self) -> Option<Duration>;
}

impl RetryAfter for Duration {
    fn retry_after(&self) -> Option<Duration> {
        Some(*self)
    }
}

impl RetryAfter for Option<Duration> {
    fn retry_after(&self) -> Option<Duration> {
        *self
    }
}

#[cfg(feature = "runner")]
pub use runner::*;

/// What the dispatch to a handler's methods calls to.
#[cfg(feature = "runner")]
mod runner {
    use serde_json::Value;

    use super::Nesting;
    use crate::context::StepContext;
    use crate::failure::{Cause, StepError};
    use crate::journal::JournalError;
    use crate::runner::{self, BoxFuture, HandlerFor, Runner};
    pub use crate::runner::{nested, undo_nested};
    use crate::workflow::{Step, StepOutput, Workflow};

    type Ended<T, E> = runner::Result<T, E>;
    type Ran<E> = Ended<Option<Box<Value>>, E>;

    // What the dispatch returns.
    pub type Running<'a, E> = BoxFuture<'a, Ran<E>>;
    pub type Undoing<'a, E> = BoxFuture<'a, Ended<(), E>>;
    pub type Asking<'a, E> = BoxFuture<'a, Ended<Option<String>, E>>;

    pub fn runner<'h, W: Workflow, P: HandlerFor<W> + 'h>(handler: P) -> Runner<'h, W, P> {
        Runner::new(handler)
    }

    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what went wrong travels behind a pointer")]
    fn error<E>(error: E) -> Box<Cause<E>> {
        Box::new(Cause::Error(error))
    }

    /// The end of a body without an output.
    pub fn done<E: StepError>(result: Result<(), E>) -> Ran<E> {
        result.map(|()| None).map_err(error)
    }

    /// The end of a body with an output.
    pub fn handed_on<T: StepOutput, E: StepError>(result: Result<T, E>) -> Ran<E> {
        let output = result.map_err(error)?;
        match serde_json::to_value(&output) {
            Ok(output) => Ok(Some(Box::new(output))),
            Err(error) => Err(Box::new(Cause::Output(error))),
        }
    }

    /// The same for a step by its marker. A type that is no output is reported there, and so not here again.
    #[allow(clippy::result_large_err, reason = "it is what a run ends with")]
    pub fn handed_on_by<S: Step, E: StepError>(step: S, result: Result<S::Output, E>) -> Ran<E> {
        let _ = step;
        handed_on(result)
    }

    /// The end of an undo, or of the question whether to skip.
    pub fn ended<T, E: StepError>(result: Result<T, E>) -> Ended<T, E> {
        result.map_err(error)
    }

    /// What an earlier step handed on, where it may have left it out.
    pub fn maybe<S: Step, E: StepError>(cx: &StepContext, step: S) -> Ended<Option<S::Output>, E> {
        cx.output(step).map_err(|error| Box::new(Cause::Journal(error)))
    }

    /// What an earlier step handed on.
    pub fn needed<S: Step, E: StepError>(cx: &StepContext, step: S) -> Ended<S::Output, E> {
        maybe(cx, step)?.ok_or_else(|| Box::new(Cause::Journal(missing::<S>(cx))))
    }

    /// The step completed when it handed nothing on yet, and the enum changed since.
    fn missing<S: Step>(cx: &StepContext) -> JournalError {
        let source = serde::de::Error::custom("it was recorded without an output");
        JournalError::Output { run: cx.run().clone(), step: S::STEP.id().to_owned(), source }
    }

    /// Runs the workflow that is nested in a step, by its marker.
    pub async fn nested_in<S: Nesting, P: HandlerFor<S::Inner>, E: StepError>(
        step: S,
        cx: &mut StepContext,
        handler: P,
    ) -> Ran<E> {
        let _ = step;
        nested(cx, handler).await
    }

    /// Takes back what the workflow did that is nested in a step, by its marker.
    pub async fn undo_nested_in<S: Nesting, P: HandlerFor<S::Inner>, E: StepError>(
        step: S,
        cx: &mut StepContext,
        handler: P,
    ) -> Ended<(), E> {
        let _ = step;
        undo_nested(cx, handler).await
    }

    /// A method of the handler that takes nothing but the context.
    type Method<'a, H, F> = fn(&'a H, &'a mut StepContext) -> F;

    // The usual arms of the dispatch, as calls: with an async block for each step, what the handler trait adds to
    // `cargo check` was two to three times as much.

    pub fn call_done<'a, H, E, F>(handler: &'a H, cx: &'a mut StepContext, method: Method<'a, H, F>) -> Running<'a, E>
    where
        H: Sync,
        E: StepError,
        F: Future<Output = Result<(), E>> + Send + 'a,
    {
        Box::pin(async move { done(method(handler, cx).await) })
    }

    pub fn call_handed_on<'a, S, H, E, F>(
        step: S,
        handler: &'a H,
        cx: &'a mut StepContext,
        method: Method<'a, H, F>,
    ) -> Running<'a, E>
    where
        S: Step,
        H: Sync,
        E: StepError,
        F: Future<Output = Result<S::Output, E>> + Send + 'a,
    {
        let _ = step;
        Box::pin(async move { handed_on(method(handler, cx).await) })
    }

    pub fn call_ended<'a, H, T, E, F>(
        handler: &'a H,
        cx: &'a mut StepContext,
        method: Method<'a, H, F>,
    ) -> BoxFuture<'a, Ended<T, E>>
    where
        H: Sync,
        E: StepError,
        F: Future<Output = Result<T, E>> + Send + 'a,
    {
        Box::pin(async move { ended(method(handler, cx).await) })
    }

    /// The derive writes an arm for each step that a plan can name.
    pub fn no_such_step<T, E: StepError>() -> Ended<T, E> {
        Err(Box::new(Cause::Cancelled))
    }
}
