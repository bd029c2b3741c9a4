//! A run from its first step to its end.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::attempt::{Limit, Terms, Verdict, drive_step};
use super::crew::Crew;
use super::handler::{HandlerFor, Job};
use super::ready::Ready;
use crate::context::{Phase, StepContext};
use crate::event::Text;
use crate::failure::Cause;
use crate::faults::Faults;
use crate::link::{Link, Shared};
use crate::stop::Level;
use crate::workflow::Workflow;

/// What a run keeps to.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) skips: Vec<(usize, Text)>,
    /// The steps whose effect is to stay, and why.
    pub(super) kept: Vec<(usize, Text)>,
    pub(super) until: Option<usize>,
    pub(super) max_parallel: Option<NonZeroUsize>,
    pub(super) cancel_siblings: bool,
    pub(super) rollback_on_cancel: bool,
    pub(super) rollback_deadline: Option<Duration>,
    pub(super) faults: Option<Arc<Faults>>,
}

/// A run under way.
pub(super) struct Drive<'r, W, P> {
    pub(super) handler: &'r P,
    pub(super) shared: &'r Arc<Shared>,
    pub(super) settings: &'r Settings,
    /// The end of the time that the run has.
    deadline: Option<Limit>,
    workflow: PhantomData<fn() -> W>,
}

/// What stopped a run, and in which step where it was in one.
pub(super) struct Halt<E> {
    pub(super) step: Option<usize>,
    pub(super) cause: Cause<E>,
}

impl<'r, W: Workflow, P: HandlerFor<W>> Drive<'r, W, P> {
    pub(super) fn new(handler: &'r P, shared: &'r Arc<Shared>, settings: &'r Settings) -> Self {
        let deadline = shared.plan.deadline.and_then(Limit::after);
        Self { handler, shared, settings, deadline, workflow: PhantomData }
    }

    /// Runs what is left; what stopped it, where something did.
    pub(super) async fn forward(&self) -> Option<Halt<P::Error>> {
        let ready = Ready::new(self.shared.lock().state(), self.settings.until);
        let halt = if self.shared.plan.parallel { self.side_by_side(ready).await } else { self.in_order(ready).await };
        halt.or_else(|| self.held())
    }

    /// Why a run stops between steps, if it does.
    fn held(&self) -> Option<Halt<P::Error>> {
        if self.shared.stop.is(Level::Finish) {
            return Some(Halt { step: None, cause: Cause::Cancelled });
        }
        let deadline = self.deadline.filter(|deadline| deadline.is_over() && !self.is_done())?;
        Some(Halt { step: None, cause: Cause::Timeout { limit: deadline.span } })
    }

    /// Whether everything is settled that was to run.
    fn is_done(&self) -> bool {
        Ready::new(self.shared.lock().state(), self.settings.until).is_empty()
    }

    fn may_begin(&self) -> bool {
        !self.shared.stop.is(Level::Close) && self.deadline.is_none_or(|deadline| !deadline.is_over())
    }

    fn terms(&self, index: usize) -> Terms {
        let why = |(step, why): &(usize, Text)| (*step == index).then(|| why.clone());
        Terms {
            deadline: self.deadline,
            skip: self.settings.skips.iter().rev().find_map(why),
            faults: self.settings.faults.clone(),
        }
    }

    /// One step after the other, each in the place of the one before.
    async fn in_order(&self, mut ready: Ready) -> Option<Halt<P::Error>> {
        let mut cx = StepContext::new(Link::Shared(self.shared.clone()), 0, Phase::Run);
        while let Some(index) = ready.next() {
            if !self.may_begin() {
                return None;
            }
            cx.index = index;
            let handler = self.handler.handler();
            match drive_step::<P::Dispatch, _>(handler, self.shared, &mut cx, &self.terms(index)).await {
                Verdict::Settled => ready.settled(index),
                Verdict::Held => return None,
                Verdict::Halted { begun, cause } => return Some(Halt { step: begun.then_some(index), cause }),
            }
        }
        None
    }

    /// As many steps at once as are ready and as the limit allows.
    async fn side_by_side(&self, mut ready: Ready) -> Option<Halt<P::Error>> {
        let limit = self.settings.max_parallel.map_or(usize::MAX, NonZeroUsize::get);
        let (mut crew, mut halt) = (Crew::new(), None);
        loop {
            while crew.len() < limit
                && self.may_begin()
                && let Some(index) = ready.next()
            {
                let job = Job { shared: self.shared.clone(), index, terms: self.terms(index) };
                let mut step = self.handler.launch(job);
                // Most steps of a quick run end at once, and need no place among the others.
                match poll_fn(|context| Poll::Ready(step.as_mut().poll(context))).await {
                    Poll::Ready(verdict) => self.take_in(index, verdict, &mut ready, &mut halt),
                    Poll::Pending => crew.push(Box::pin(async move { (index, step.await) })),
                }
            }
            match crew.next().await {
                Some((index, verdict)) => self.take_in(index, verdict, &mut ready, &mut halt),
                None => return halt,
            }
        }
    }

    fn take_in(&self, index: usize, verdict: Verdict<P::Error>, ready: &mut Ready, halt: &mut Option<Halt<P::Error>>) {
        match verdict {
            Verdict::Settled => ready.settled(index),
            Verdict::Held => {}
            Verdict::Halted { begun, cause } => {
                if self.settings.cancel_siblings && !matches!(cause, Cause::Cancelled) {
                    self.shared.stop.raise(Level::Now);
                }
                // The first failure counts; a step that was cancelled for it, or before it, does not.
                if halt.as_ref().is_none_or(|first| matches!(first.cause, Cause::Cancelled)) {
                    *halt = Some(Halt { step: begun.then_some(index), cause });
                }
            }
        }
    }
}
