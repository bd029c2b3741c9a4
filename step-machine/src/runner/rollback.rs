//! Taking back what a run did.

use super::attempt::{Ended, Limit, body, guarded, pause, said};
use super::drive::Drive;
use super::handler::{Dispatch, HandlerFor};
use crate::context::{Phase, StepContext};
use crate::event::UndoStatus;
use crate::failure::Cause;
use crate::link::Link;
use crate::policy::next_attempt;
use crate::stop::Level;
use crate::workflow::Workflow;

impl<W: Workflow, P: HandlerFor<W>> Drive<'_, W, P> {
    /// Undoes what began and can be undone, newest first, each whatever became of the others.
    pub(super) async fn backward(&self) {
        // What stopped the run does not stop its rollback.
        self.shared.stop.reset();
        let deadline = self.terms.settings.rollback_deadline.and_then(Limit::after);
        let order = self.shared.lock().state().to_undo();
        for index in order {
            if self.shared.lock().is_broken() {
                break;
            }
            if let Some(why) = said(&self.terms.settings.kept, index) {
                self.shared.lock().end_undo(index, UndoStatus::Skipped, Some(why), None);
                continue;
            }
            match self.cut_off(deadline) {
                None => self.undo(index, deadline).await,
                Some(cause) => {
                    self.leave(index, &cause);
                    break;
                }
            }
        }
    }

    /// What cuts off the rollback, if something does by now.
    fn cut_off(&self, deadline: Option<Limit>) -> Option<Cause<P::Error>> {
        if self.shared.stop.is(Level::Now) {
            return Some(Cause::Cancelled);
        }
        let limit = deadline.filter(|deadline| deadline.is_over())?;
        Some(Cause::Timeout { limit: limit.span })
    }

    /// Leaves what an undo would take back, and all that would come after it. A run that is stuck has an undo that says
    /// why: this one, where none does yet.
    fn leave(&self, index: usize, cause: &Cause<P::Error>) {
        let mut recorder = self.shared.lock();
        if !recorder.state().has_failed_undo() && recorder.begin_undo(index) {
            recorder.end_undo(index, UndoStatus::UndoFailed, None, Some(cause.record()));
        }
    }

    async fn undo(&self, index: usize, deadline: Option<Limit>) {
        let mut failed = 0;
        while self.shared.lock().begin_undo(index) {
            let cause = match self.try_undo(index, deadline).await {
                Ended::Done(()) => {
                    self.shared.lock().end_undo(index, UndoStatus::Undone, None, None);
                    return;
                }
                Ended::Failed(cause) => cause,
                Ended::Cut => Box::new(Cause::Cancelled),
            };
            failed += 1;
            if !self.wait_for_next_undo(index, failed, &cause, deadline).await {
                // Out of the lock, as it is the error's own code.
                let record = cause.record();
                self.shared.lock().end_undo(index, UndoStatus::UndoFailed, None, Some(record));
                return;
            }
        }
    }

    async fn try_undo(&self, index: usize, deadline: Option<Limit>) -> Ended<(), P::Error> {
        let mut cx = StepContext::new(Link::Shared(self.shared.clone()), index, Phase::Undo);
        let timeout = self.shared.plan.steps[index].timeout.and_then(Limit::after);
        let faults = self.terms.settings.faults.as_ref();
        let body = body(<P::Dispatch as Dispatch<_>>::undo, self.handler.handler(), &mut cx, faults);
        guarded(body, &self.shared.stop, Limit::first(timeout, deadline)).await
    }

    async fn wait_for_next_undo(
        &self,
        index: usize,
        failed: u32,
        cause: &Cause<P::Error>,
        deadline: Option<Limit>,
    ) -> bool {
        let (retry, left) = (self.shared.plan.steps[index].retry, deadline.map(Limit::left));
        let Some(delay) = next_attempt(retry, failed, cause.advice(), fastrand::f64(), left) else {
            return false;
        };
        let record = cause.record();
        if self.shared.stop.is(Level::Now) || !self.shared.lock().retry(index, delay, record) {
            return false;
        }
        pause(delay, &self.shared.stop, Level::Now).await;
        // Cut short by a cancel, no other attempt begins.
        !self.shared.stop.is(Level::Now)
    }
}
