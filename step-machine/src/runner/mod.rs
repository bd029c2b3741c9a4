//! It drives: the runner takes a run from its first step to its end, on tokio.

mod handler;

use std::marker::PhantomData;

pub use handler::{BoxFuture, Dispatch, HandlerFor};

use crate::workflow::Workflow;

/// What a run is to be like; everything is optional. From `YourEnum::run(&handler)`.
#[must_use = "nothing runs before the run is awaited"]
pub struct Runner<'h, W, P> {
    handler: P,
    types: PhantomData<fn() -> (&'h (), W)>,
}

impl<W: Workflow, P: HandlerFor<W>> Runner<'_, W, P> {
    pub(crate) fn new(handler: P) -> Self {
        Self { handler, types: PhantomData }
    }
}
