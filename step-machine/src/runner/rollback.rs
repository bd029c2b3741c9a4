//! Taking back what a run did.

use super::attempt::{Ended, Limit, body, guarded, pause, said, within};
use super::drive::Drive;
use super::handler::{Dispatch, HandlerFor};
use crate::context::{Phase, StepContext};
use crate::event::UndoStatus;
use crate::failure::Cause;
use crate::journal::Waiting;
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
            if self.is_over(deadline) {
                break;
            }
            self.undo(index, deadline).await;
        }
    }

    /// Whether no other undo begins. One that is cut off says why the run is stuck, so there has to be one.
    fn is_over(&self, deadline: Option<Limit>) -> bool {
        let recorder = self.shared.lock();
        recorder.is_broken() || (recorder.state().has_failed_undo() && self.cut_off(deadline).is_some())
    }

    /// What cuts off the rollback, if something does by now.
    fn cut_off(&self, deadline: Option<Limit>) -> Option<Cause<P::Error>> {
        if self.shared.stop.is(Level::Now) {
            return Some(Cause::Cancelled);
        }
        let limit = deadline.filter(|deadline| deadline.is_over())?;
        Some(Cause::Timeout { limit: limit.span })
    }

    async fn undo(&self, index: usize, deadline: Option<Limit>) {
        if let Some(why) = said(&self.terms.settings.kept, index) {
            self.shared.lock().end_undo(index, UndoStatus::Skipped, Some(why), None);
            return;
        }
        let mut failed = 0;
        while self.begin_undo(index).await {
            let cause = match self.try_undo(index, deadline).await {
                Ended::Done(()) => {
                    self.shared.lock().end_undo(index, UndoStatus::Undone, None, None);
                    return;
                }
                Ended::Failed(cause) => match *cause {
                    Cause::Journal(error) if error.is_of_writing() => {
                        self.shared.lock().break_off(error);
                        return;
                    }
                    cause => Box::new(cause),
                },
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

    async fn begin_undo(&self, index: usize) -> bool {
        self.shared.lock().begin_undo(index) && self.is_kept().await
    }

    /// Waits until the journal has what came before, where there is one.
    async fn is_kept(&self) -> bool {
        !self.shared.is_kept || self.shared.keep(Waiting::Task).await
    }

    async fn try_undo(&self, index: usize, deadline: Option<Limit>) -> Ended<(), P::Error> {
        // After its start is on record: a rollback that is dropped here leaves an undo that says so.
        self.give_way().await;
        if let Some(cause) = self.cut_off(deadline) {
            return Ended::Failed(Box::new(cause));
        }
        let mut cx = StepContext::new(Link::Shared(self.shared.clone()), index, Phase::Undo);
        let timeout = self.shared.plan.steps[index].timeout.and_then(Limit::after);
        let faults = self.terms.settings.faults.as_ref();
        let body = body(<P::Dispatch as Dispatch<_>>::undo, self.handler.handler(), &mut cx, faults);
        let body = within(self.shared, index, body);
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
        if self.shared.stop.is(Level::Now) || !self.shared.lock().retry(index, delay, record) || !self.is_kept().await {
            return false;
        }
        pause(delay, &self.shared.stop, Level::Now).await;
        // Cut short by a cancel, no other attempt begins.
        !self.shared.stop.is(Level::Now)
    }
}
