//! A run from its first step to its end.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::attempt::{Halt, Limit, Settings, Terms, Verdict, drive_step};
use super::crew::Crew;
use super::handler::{HandlerFor, Job};
use super::ready::Ready;
use crate::context::{Phase, StepContext};
use crate::failure::Cause;
use crate::link::{Link, Shared};
use crate::stop::Level;
use crate::workflow::Workflow;

/// A run under way.
pub(super) struct Drive<'r, W, P> {
    pub(super) handler: &'r P,
    pub(super) shared: &'r Arc<Shared>,
    pub(super) terms: Terms,
    /// Something may ask the run to stop.
    is_watched: bool,
    workflow: PhantomData<fn() -> W>,
}

impl<'r, W: Workflow, P: HandlerFor<W>> Drive<'r, W, P> {
    pub(super) fn new(handler: &'r P, shared: &'r Arc<Shared>, settings: Arc<Settings>, is_watched: bool) -> Self {
        let deadline = shared.plan.deadline.and_then(Limit::after);
        let terms = Terms { deadline, settings };
        Self { handler, shared, terms, is_watched, workflow: PhantomData }
    }

    /// Lets what may stop the run have its turn: bodies that never wait would keep it from that up to the end.
    pub(super) async fn give_way(&self) {
        if self.is_watched {
            tokio::task::yield_now().await;
        }
    }

    /// Runs what is left; what stopped it, where something did.
    pub(super) async fn forward(&self) -> Option<Box<Halt<P::Error>>> {
        let mut ready = Ready::new(self.shared.lock().state(), self.terms.settings.until);
        let halt = if self.shared.plan.parallel {
            Box::pin(self.side_by_side(&mut ready)).await
        } else {
            self.in_order(&mut ready).await
        };
        halt.or_else(|| self.held())
    }

    /// Why a run stops between steps, if it does.
    fn held(&self) -> Option<Box<Halt<P::Error>>> {
        if self.shared.stop.is(Level::Finish) && !self.is_done() {
            return Some(Box::new(Halt { step: None, cause: Cause::Cancelled }));
        }
        let deadline = self.terms.deadline.filter(|deadline| deadline.is_over() && !self.is_done())?;
        Some(Box::new(Halt { step: None, cause: Cause::Timeout { limit: deadline.span } }))
    }

    /// Whether everything is settled that was to run.
    fn is_done(&self) -> bool {
        Ready::new(self.shared.lock().state(), self.terms.settings.until).is_empty()
    }

    fn may_begin(&self) -> bool {
        !self.shared.stop.is(Level::Close) && self.terms.deadline.is_none_or(|deadline| !deadline.is_over())
    }

    /// One step after the other, each in the place of the one before.
    async fn in_order(&self, ready: &mut Ready) -> Option<Box<Halt<P::Error>>> {
        let mut cx = StepContext::new(Link::Shared(self.shared.clone()), 0, Phase::Run);
        while let Some(index) = ready.next() {
            self.give_way().await;
            if !self.may_begin() {
                return None;
            }
            (cx.index, cx.inside) = (index, None);
            let handler = self.handler.handler();
            match drive_step::<P::Dispatch, _>(handler, self.shared, &mut cx, &self.terms).await {
                Verdict::Settled => ready.settled(index),
                Verdict::Held => return None,
                Verdict::Halted(halt) => return Some(halt),
            }
        }
        None
    }

    /// As many steps at once as are ready and as the limit allows.
    async fn side_by_side(&self, ready: &mut Ready) -> Option<Box<Halt<P::Error>>> {
        let limit = self.terms.settings.max_parallel.map_or(usize::MAX, NonZeroUsize::get);
        let (mut crew, mut halt) = (Crew::new(), None);
        // Built in the place where it stays, which a step that ends at once leaves to the next one.
        let mut seat = Box::pin(None);
        loop {
            while crew.len() < limit
                && let Some(index) = ready.next()
            {
                self.give_way().await;
                if !self.may_begin() {
                    break;
                }
                let job = Job { shared: self.shared, index, terms: &self.terms };
                seat.set(Some(self.handler.launch(job)));
                // Most steps of a quick run end at once, and need no place among the others.
                match poll_fn(|context| Poll::Ready(poll_seat(&mut seat, context))).await {
                    Poll::Ready(verdict) => self.take_in(index, verdict, ready, &mut halt),
                    Poll::Pending => {
                        let mut taken = std::mem::replace(&mut seat, Box::pin(None));
                        let step =
                            poll_fn(move |context| poll_seat(&mut taken, context).map(|verdict| (index, verdict)));
                        crew.push(Box::pin(step));
                    }
                }
            }
            match crew.next().await {
                Some((index, verdict)) => self.take_in(index, verdict, ready, &mut halt),
                None => return halt,
            }
        }
    }

    fn take_in(
        &self,
        index: usize,
        verdict: Verdict<P::Error>,
        ready: &mut Ready,
        halt: &mut Option<Box<Halt<P::Error>>>,
    ) {
        match verdict {
            Verdict::Settled => ready.settled(index),
            Verdict::Held => {}
            Verdict::Halted(next) => {
                if self.terms.settings.cancel_siblings && !matches!(next.cause, Cause::Cancelled) {
                    self.shared.stop.raise(Level::Now);
                }
                let is_it = halt.as_ref().is_none_or(|first| self.comes_before(&next, first));
                let other = if is_it { halt.replace(next) } else { Some(next) };
                // The failure of the journal, which is given out once, never hides behind that of a step.
                if let Some(Cause::Journal(error)) = other.map(|other| other.cause)
                    && error.is_of_writing()
                {
                    self.shared.lock().take_fault_back(error);
                }
            }
        }
    }

    /// The first failure counts, in the order of the record, before one that is not there; a step that was cancelled for
    /// it, or before it, does not.
    fn comes_before(&self, next: &Halt<P::Error>, first: &Halt<P::Error>) -> bool {
        let is_cancelled = |halt: &Halt<P::Error>| matches!(halt.cause, Cause::Cancelled);
        if is_cancelled(next) || is_cancelled(first) {
            return is_cancelled(first) && !is_cancelled(next);
        }
        let recorder = self.shared.lock();
        let ended = |halt: &Halt<P::Error>| recorder.step(halt.step?).attempt_ended();
        ended(next).unwrap_or(u64::MAX) < ended(first).unwrap_or(u64::MAX)
    }
}

fn poll_seat<F: Future>(seat: &mut Pin<Box<Option<F>>>, context: &mut Context<'_>) -> Poll<F::Output> {
    match seat.as_mut().as_pin_mut() {
        Some(step) => step.poll(context),
        None => Poll::Pending,
    }
}
