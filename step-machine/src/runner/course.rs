//! A run as a whole: forward, back where that is asked for, and its end.

use std::pin::pin;
use std::sync::Arc;

use super::attempt::{Halt, waiting};
use super::builder::Runner;
use super::drive::Drive;
use super::handler::HandlerFor;
use super::signals::watched;
use super::stall;
use crate::event::{Effect, FailureRecord, RunStatus};
use crate::failure::{self, Cause, StepError};
use crate::link::Shared;
use crate::opening::{Found, Way};
use crate::policy::OnFailure;
use crate::recorder::Recorder;
use crate::report::{Failure, Report};
use crate::workflow::Workflow;

impl<W: Workflow, P: HandlerFor<W>> Runner<'_, W, P> {
    pub(super) async fn execute(&mut self) -> Result<Report<W>, Failure<W, P::Error>> {
        let plan = self.effective_plan();
        let mut opening = std::mem::take(&mut self.opening);
        opening.is_deferred = true;
        let way = self.way;
        let found =
            if opening.watch.journal.is_some() { Box::pin(opening.find(&plan, way)).await? } else { Found::default() };
        let recorder = opening.open::<W>(found, plan, way)?;
        self.go_on(recorder, way).await
    }

    /// Goes on with an open run.
    pub(super) fn go_on(
        &mut self,
        recorder: Box<Recorder>,
        way: Way,
    ) -> impl Future<Output = Result<Report<W>, Failure<W, P::Error>>> {
        // A run that had completed before has its end already. The rest waits, without what only the start needs.
        let is_over = recorder.state().status() == RunStatus::Completed;
        let shared = Shared::new(recorder);
        async move {
            if is_over {
                return report(Shared::into_recorder(shared));
            }
            self.drive(&shared, way).await.end(shared).await
        }
    }

    /// Drives a run to its end.
    pub(super) async fn drive(&mut self, shared: &Arc<Shared>, way: Way) -> Driven<P::Error> {
        let triggers = std::mem::take(&mut self.triggers);
        let settings = self.settings.clone();
        let drive = Drive::<W, P>::new(&self.handler, shared, settings, !triggers.is_empty());
        // Goes after the run where both are dropped: what is nested in the run ends before it.
        let leave = Leave(shared);
        // Pinned where it is: a future that is handed on is copied each time.
        let run = pin!(drive.to_the_end(way));
        let limits = stall::limits::<W>(&shared.plan, self.stalled_after);
        let stall = (!limits.is_empty()).then(|| stall::watch(shared.clone(), limits));
        let driven = watched(triggers, stall, &shared.stop, run).await;
        std::mem::forget(leave);
        Driven(driven)
    }
}

/// How a run ended that was driven: what stopped it, and what was known then.
#[must_use]
pub(super) struct Driven<E>(Option<Box<(Cause<E>, FailureRecord)>>);

impl<E: StepError> Driven<E> {
    /// Ends the run.
    pub(super) async fn end<W: Workflow>(self, shared: Arc<Shared>) -> Result<Report<W>, Failure<W, E>> {
        let (halt, mut record) = (self.0, None);
        let is_kept = shared.is_kept;
        if is_kept {
            record = conclude(&mut shared.lock(), halt.as_deref());
            Box::pin(shared.keep(waiting(&shared))).await;
        }
        let mut recorder = Shared::into_recorder(shared);
        if is_kept {
            recorder.catch_up();
        } else {
            record = conclude(&mut recorder, halt.as_deref());
        }
        match (halt, record) {
            (Some(halt), Some(record)) => Err(Failure::after(recorder, halt.0, record)),
            _ => report(recorder),
        }
    }
}

/// Records how a run ends; what is known of its failure then, where it has one.
fn conclude<E: StepError>(recorder: &mut Recorder, halt: Option<&(Cause<E>, FailureRecord)>) -> Option<FailureRecord> {
    match halt {
        None => {
            complete(recorder);
            None
        }
        Some((cause, failed)) => Some(recorder.end_after(cause, failed)),
    }
}

/// Ends a run that is dropped before its end, at once: tasks of the runtime that it left may hear of it only later.
///
/// A run that is kept is given back with its end, so where a task of it blocks its thread in a body, that body comes to its
/// end first: the last task that lets go of the run ends it. A nested run is one with the run that it is in, and may go
/// on there at once.
struct Leave<'r>(&'r Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let is_idle = self.0.stop.leave();
        let mut recorder = self.0.lock();
        if !is_idle && self.0.is_kept && recorder.state().parent().is_none() {
            return;
        }
        recorder.catch_up();
        recorder.abandon();
        recorder.close();
    }
}

impl<W: Workflow, P: HandlerFor<W>> Drive<'_, W, P> {
    /// Goes forward, and where that stops the run, backward if that is asked for. What stopped it, and what was known
    /// then.
    async fn to_the_end(&self, way: Way) -> Option<Box<(Cause<P::Error>, FailureRecord)>> {
        let halt = match self.earlier(way) {
            Some(halt) => halt,
            None => self.forward().await?,
        };
        // Out of the lock, as it is the error's own code.
        let record = halt.cause.record();
        let mut failed = match &halt.cause {
            Cause::Earlier { .. } => failure::halted(self.shared.lock().state()),
            _ => self.shared.lock().failed_step(halt.step, record),
        };
        if halt.step.is_none() && matches!(halt.cause, Cause::Cancelled | Cause::Timeout { .. }) {
            // No step was under way.
            failed.error.effect = Effect::Known;
        }
        if self.goes_back(&halt.cause, &failed) {
            // On the heap, as what few runs need is not to weigh on all.
            Box::pin(self.backward()).await;
        }
        Some(Box::new((halt.cause, failed)))
    }

    /// What stopped a run that only goes backwards any more.
    fn earlier(&self, way: Way) -> Option<Box<Halt<P::Error>>> {
        let recorder = self.shared.lock();
        let state = recorder.state();
        if way != Way::Back && state.status() != RunStatus::RollingBack {
            return None;
        }
        let (step, error) = failure::earlier(state);
        Some(Box::new(Halt { step, cause: Cause::Earlier { error: Box::new(error) } }))
    }

    /// Makes the run ready to go backwards, where it is to.
    fn goes_back(&self, cause: &Cause<P::Error>, failed: &FailureRecord) -> bool {
        let mut recorder = self.shared.lock();
        let state = recorder.state();
        let is_asked_for = match cause {
            Cause::Earlier { .. } => true,
            Cause::Cancelled => self.terms.settings.rollback_on_cancel,
            // What the journal has does not fit this program: it waits for one that it fits.
            Cause::Journal(_) => false,
            _ => state.plan().on_failure == OnFailure::Rollback,
        };
        if !is_asked_for || recorder.is_broken() || state.to_undo().is_empty() {
            return false;
        }
        // A run that no step stopped has to end before it can go back.
        if state.status() == RunStatus::Running && state.halted_step().is_none() {
            recorder.end(cause.status(), Some(failed.clone()));
        }
        recorder.reopen();
        true
    }
}

/// Ends a run that did all that it was to do.
fn complete(recorder: &mut Recorder) {
    if recorder.state().status() != RunStatus::Running {
        return;
    }
    let is_complete = recorder.state().steps().iter().all(|step| step.status().is_settled());
    if is_complete {
        recorder.finish()
    } else {
        recorder.end_early()
    };
}

fn report<W: Workflow, E: StepError>(mut recorder: Box<Recorder>) -> Result<Report<W>, Failure<W, E>> {
    match recorder.take_fault() {
        Some(error) => {
            let step = recorder.left_open();
            Err(Failure::new(recorder, step, Cause::Journal(error)))
        }
        None => Ok(Report::new(recorder)),
    }
}
