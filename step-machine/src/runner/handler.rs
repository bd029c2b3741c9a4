//! What stands between the runner and the methods that a user writes.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::context::StepContext;
use crate::failure::{Cause, StepError};
use crate::workflow::Workflow;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Calls the methods of a handler by the position of the step. Written by `#[derive(Workflow)]`, on the enum.
#[doc(hidden)]
pub trait Dispatch<H>: Workflow {
    /// The handler's error.
    type Error: StepError;

    /// Runs the body of a step; gives its output as JSON, where it declares one.
    fn run<'a>(
        step: usize,
        handler: &'a H,
        cx: &'a mut StepContext,
    ) -> BoxFuture<'a, Result<Option<Value>, Cause<Self::Error>>>;

    /// Takes back the effect of a step.
    fn undo<'a>(step: usize, handler: &'a H, cx: &'a mut StepContext) -> BoxFuture<'a, Result<(), Cause<Self::Error>>>;

    /// Asks whether a step is to be skipped, and why.
    fn skip<'a>(
        step: usize,
        handler: &'a H,
        cx: &'a mut StepContext,
    ) -> BoxFuture<'a, Result<Option<String>, Cause<Self::Error>>>;
}

/// What a run of `W` can be driven with: `&H` or `Arc<H>`, where `H` implements the handler trait of `W`.
///
/// Behind an [`Arc`] each parallel step is a task of the runtime; behind a reference parallel steps share the task that
/// waits for the run.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle the steps of `{W}`",
    label = "expected `&handler` or `Arc<handler>`, of a type that implements the handler trait of `{W}`",
    note = "`#[derive(Workflow)]` wrote that trait beside the enum; for an enum `ProvisionStep` it is `ProvisionStepHandler`"
)]
pub trait HandlerFor<W: Workflow>: Send + Sync {
    /// The handler's error.
    type Error: StepError;

    /// The handler itself.
    #[doc(hidden)]
    type Handler: Sync;

    #[doc(hidden)]
    fn handler(&self) -> &Self::Handler;
}

impl<W: Dispatch<H>, H: Sync> HandlerFor<W> for &H {
    type Error = W::Error;
    type Handler = H;

    fn handler(&self) -> &H {
        self
    }
}

impl<W: Dispatch<H>, H: Send + Sync> HandlerFor<W> for Arc<H> {
    type Error = W::Error;
    type Handler = H;

    fn handler(&self) -> &H {
        self
    }
}
