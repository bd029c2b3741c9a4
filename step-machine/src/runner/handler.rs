//! What stands between the runner and the methods that a user writes.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::attempt::{Terms, Verdict, cancel, drive_step, kept};
use crate::context::{Phase, StepContext};
use crate::failure::{Cause, StepError};
use crate::link::{Link, Shared};
use crate::workflow::Workflow;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a body ends. What went wrong is behind a pointer, so that what goes well stays small.
pub type Result<T, E> = std::result::Result<T, Box<Cause<E>>>;

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
    ) -> BoxFuture<'a, Result<Option<Box<Value>>, Self::Error>>;

    /// Takes back the effect of a step.
    fn undo<'a>(step: usize, handler: &'a H, cx: &'a mut StepContext) -> BoxFuture<'a, Result<(), Self::Error>>;

    /// Asks whether a step is to be skipped, and why.
    fn skip<'a>(
        step: usize,
        handler: &'a H,
        cx: &'a mut StepContext,
    ) -> BoxFuture<'a, Result<Option<String>, Self::Error>>;
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
pub trait HandlerFor<W>: Send + Sync {
    /// The handler's error.
    type Error: StepError;

    /// The handler itself.
    #[doc(hidden)]
    type Handler: Sync;

    /// The workflow, as what calls the handler.
    #[doc(hidden)]
    type Dispatch: Dispatch<Self::Handler, Error = Self::Error>;

    #[doc(hidden)]
    fn handler(&self) -> &Self::Handler;

    /// Drives one step beside others.
    #[doc(hidden)]
    fn launch<'r>(&'r self, job: Job<'r>) -> impl Future<Output = Verdict<Self::Error>> + Send + 'r;
}

/// A step to be driven beside others.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Job<'r> {
    pub(crate) shared: &'r Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) terms: &'r Terms,
}

impl Job<'_> {
    async fn drive<W: Dispatch<H>, H: Sync>(self, handler: &H) -> Verdict<W::Error> {
        let mut cx = StepContext::new(Link::Shared(self.shared.clone()), self.index, Phase::Run);
        if self.shared.is_kept {
            // On the heap, as a run in memory is to be quick.
            return Box::pin(async {
                let verdict = drive_step::<W, H>(handler, self.shared, &mut cx, self.terms).await;
                kept(self.shared, self.index, verdict).await
            })
            .await;
        }
        drive_step::<W, H>(handler, self.shared, &mut cx, self.terms).await
    }
}

impl<W: Dispatch<H>, H: Sync> HandlerFor<W> for &H {
    type Error = W::Error;
    type Handler = H;
    type Dispatch = W;

    fn handler(&self) -> &H {
        self
    }

    fn launch<'r>(&'r self, job: Job<'r>) -> impl Future<Output = Verdict<W::Error>> + Send + 'r {
        job.drive::<W, H>(self)
    }
}

impl<W: Dispatch<H>, H: Send + Sync + 'static> HandlerFor<W> for Arc<H> {
    type Error = W::Error;
    type Handler = H;
    type Dispatch = W;

    fn handler(&self) -> &H {
        self
    }

    fn launch<'r>(&'r self, job: Job<'r>) -> impl Future<Output = Verdict<W::Error>> + Send + 'r {
        let (handler, shared, terms, index) = (self.clone(), job.shared.clone(), job.terms.clone(), job.index);
        let handle = tokio::spawn(async move {
            let job = Job { shared: &shared, index, terms: &terms };
            let mut step = pin!(job.drive::<W, H>(&handler));
            poll_fn(|context| match shared.stop.enter() {
                Some(_within) => step.as_mut().poll(context),
                // The run was dropped: this is too, as soon as the runtime comes to it.
                None => Poll::Pending,
            })
            .await
        });
        Task { handle, shared: job.shared.clone(), index }
    }
}

/// A step that is a task of the runtime, and ends with the one who waits for it.
struct Task<E> {
    handle: JoinHandle<Verdict<E>>,
    shared: Arc<Shared>,
    index: usize,
}

impl<E> Future for Task<E> {
    type Output = Verdict<E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = std::task::ready!(Pin::new(&mut self.handle).poll(context));
        Poll::Ready(ended.unwrap_or_else(|error| match error.try_into_panic() {
            // Bodies are caught before: what panicked is an error that was asked what it says.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down gives a task up.
            Err(_) => cancel(&self.shared, self.index),
        }))
    }
}

impl<E> Drop for Task<E> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}
