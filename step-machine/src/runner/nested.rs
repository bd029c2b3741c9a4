//! Workflows that run inside a step of another one.

use std::sync::{Arc, Weak};

use serde_json::{Map, Value};

use super::builder::Runner;
use super::handler::HandlerFor;
use super::signals::Trigger;
use crate::context::{Phase, StepContext, Why};
use crate::event::{Event, Kind, Parent, RunStatus, StepUpdate};
use crate::failure::{Cause, StepError};
use crate::journal::JournalError;
use crate::link::Shared;
use crate::observe::{Observer, Scope};
use crate::opening::{Again, Outer, Way};
use crate::recorder::{Nested, Recorder, Watch};
use crate::report::{Failure, Report};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::stop::{Level, Stop};
use crate::sync::lock;
use crate::workflow::{Plan, Workflow};

impl StepContext {
    /// Runs another workflow inside this step.
    ///
    /// Its events go to the observers of this run as well, under an id that begins with this run's; its progress is
    /// the step's, and what it tells machines is the step's too. It keeps to this run's journal and stops, to what is
    /// redacted in it, and to its clock and codec unless it has its own. Its failure is this step's error where the body
    /// hands it on.
    ///
    /// When the step is tried again, the nested run goes on where it was. In an undo this takes back what the nested
    /// run did, and succeeds where nothing of it is left; so it does in a body where the nested run is told to go back by
    /// [`rollback`](Runner::rollback). A body that runs the same workflow several times gives each
    /// run an [`id`](Runner::id) of its own, which becomes a part of the whole id.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{Failure, StepContext, StepError, Workflow};
    ///
    /// #[derive(Workflow, Debug)]
    /// enum Docker { Build, Start }
    ///
    /// #[derive(Workflow, Debug)]
    /// enum Publish { WriteDockerfile, Deploy }
    ///
    /// struct Publisher;
    ///
    /// impl DockerHandler for Publisher {
    ///     type Error = std::io::Error;
    ///
    ///     async fn build(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Err(std::io::ErrorKind::AddrInUse.into())
    ///     }
    /// }
    ///
    /// #[derive(Debug, thiserror::Error, StepError)]
    /// #[error(transparent)]
    /// #[step_error(transparent)]
    /// struct PublishError(#[from] Failure<Docker, std::io::Error>);
    ///
    /// impl PublishHandler for Publisher {
    ///     type Error = PublishError;
    ///
    ///     async fn write_dockerfile(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn deploy(&self, cx: &mut StepContext) -> Result<(), Self::Error> {
    ///         cx.nested(Docker::run(self)).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let failure = Publish::run(&Publisher).await.unwrap_err();
    /// let error = &failure.context().record().error;
    /// assert_eq!(error.nested.as_ref().unwrap().step.as_ref().unwrap(), "start");
    /// # });
    /// ```
    pub async fn nested<'h, W, P>(&mut self, run: Runner<'h, W, P>) -> Result<Report<W>, Failure<W, P::Error>>
    where
        W: Workflow,
        P: HandlerFor<W> + 'h,
    {
        let name = run.opening.id.as_ref().map_or_else(|| W::NAME.to_owned(), ToString::to_string);
        let ended = self.nest(run, &name).await;
        let why = ended.as_ref().err().and_then(|failure| self.why_inside(failure));
        self.note_inside(name, why);
        ended
    }
}

impl StepContext {
    async fn nest<'h, W, P>(&mut self, run: Runner<'h, W, P>, name: &str) -> Result<Report<W>, Failure<W, P::Error>>
    where
        W: Workflow,
        P: HandlerFor<W> + 'h,
    {
        let way = if self.phase == Phase::Undo { Way::Back } else { run.way };
        let plan = run.effective_plan();
        let mut run = run;
        let mut opening = std::mem::take(&mut run.opening);
        let parent = self.link.share();
        // A step that was renamed finds the runs that began under its old id.
        let base = format!("{}/{}/{name}", self.run(), self.first_id());
        hand_down(&parent, &mut opening.watch);
        let nested = parent.lock().nested();
        let (id, state) = earlier_run(&nested, &opening.watch, &base, &plan).await?;
        // One that somebody began by himself under this id is no part of this run.
        let is_part = state.as_ref().is_none_or(|state| state.parent().is_some_and(|parent| parent.run == *self.run()));
        opening.more().outer = parent.lock().lease().map(|lease| Outer { lease, is_part });
        let attempt = self.attempt();
        opening.more().parent =
            Some(Parent { run: self.run().clone(), step: parent.lock().state().step_ref(self.index), attempt });
        if way == Way::AsLeft && state.as_ref().is_some_and(|state| self.is_to_run_again(state)) {
            opening.more().again = Some(Again::All { parent_attempt: attempt });
        }
        opening.id = Some(id.clone());
        opening.is_deferred = true;
        let stop = Arc::<Stop>::default();
        opening.watch.observers.add(Relay {
            parent: Arc::downgrade(&parent),
            index: self.index,
            run: id.clone(),
            stop: stop.clone(),
            is_forward: way == Way::AsLeft,
            told: 0.0,
        });
        match &state {
            Some(state) if way == Way::Back && state.status().has_ended() && state.to_undo().is_empty() => {
                return Ok(nothing_left(state.clone()));
            }
            None if way == Way::Back => {
                let now = opening.watch.wall();
                return Ok(nothing_left(RunState::new(id, plan, now)));
            }
            _ => {}
        }
        let mut found = Box::pin(opening.find(&plan, way)).await?;
        // Without a journal only this process knows of it.
        found.state = found.state.or(state);
        // Claimed all the same: who was in it when the outer run was taken over is to stop.
        if let Some(state) = found.state.take_if(|state| way == Way::Back && state.to_undo().is_empty()) {
            return Ok(nothing_left(state));
        }
        let mut recorder = opening.open::<W>(found, plan, way)?;
        recorder.nest(nested);
        // The run that this one is in is asked to stop: so is this one. Where it is to stop now, this is dropped.
        let outer = parent.stop.clone();
        run.triggers.push(Trigger::On(Level::Finish, Box::pin(async move { outer.reached(Level::Finish).await })));
        drop(parent);
        if way != Way::Back && recorder.state().status() == RunStatus::Completed {
            return Ok(Report::new(recorder));
        }
        let shared = Shared::with_stop(recorder, stop);
        // On the heap: a run in a run in a run would make one future of them all.
        let driven: super::BoxFuture<'_, _> = Box::pin(run.drive(&shared, way));
        let driven = driven.await;
        taken_back(driven.end(shared).await, way)
    }
}

impl StepContext {
    /// Why a run inside ended, where that is not the step's own failure. A journal that does not follow there does not
    /// follow here either: nothing more is recorded, whatever the body makes of it.
    fn why_inside<W: Workflow, E: StepError>(&mut self, failure: &Failure<W, E>) -> Option<Why> {
        let of_cause = match failure.cause() {
            Cause::Journal(error) => Some(error),
            _ => None,
        };
        let of_writing = of_cause.or(failure.journal_error()).filter(|error| error.is_of_writing());
        // Out of the lock, as it is the store's own code.
        let of_writing = of_writing.map(JournalError::copied);
        let shared = self.link.share();
        let mut recorder = shared.lock();
        if let Some(error) = of_writing.filter(|_| !recorder.is_broken()) {
            recorder.break_off(error);
        }
        let is_to_stop = recorder.is_broken() || shared.stop.is(Level::Finish);
        drop(recorder);
        match failure.cause() {
            Cause::Cancelled if is_to_stop && self.phase == Phase::Run => Some(Why::Stopped),
            Cause::Journal(error) if error.is_of_reading() => Some(Why::Unfit(error.copied())),
            _ => None,
        }
    }

    /// Whether what `nested` did was taken back since, as this step was to run again. A rollback of it that is not over
    /// goes on first.
    fn is_to_run_again(&self, nested: &RunState) -> bool {
        let is_going_back = matches!(nested.status(), RunStatus::RollingBack | RunStatus::Stuck);
        let Some(parent) = nested.parent().filter(|_| !is_going_back) else { return false };
        self.is_before_again(parent.attempt)
    }
}

/// What a nested run takes over from the one that it is in.
fn hand_down(parent: &Shared, watch: &mut Watch) {
    let recorder = parent.lock();
    watch.journal = recorder.journal();
    if watch.clock.is_none() {
        watch.clock = recorder.own_clock();
    }
    watch.secrecy.inherit(recorder.secrecy());
    watch.pace.get_or_insert(recorder.pace());
    #[cfg(feature = "resources")]
    {
        watch.is_measured |= recorder.is_measured();
    }
}

/// The last run under `base` that was not taken back: its id, and its state if it began.
async fn earlier_run(
    nested: &Nested,
    watch: &Watch,
    base: &str,
    plan: &Plan,
) -> Result<(RunId, Option<RunState>), JournalError> {
    for nth in 1.. {
        let id = RunId::from(if nth == 1 { base.to_owned() } else { format!("{base}/{nth}") });
        let mut state = lock(nested).get(&id).cloned();
        if let (None, Some(journal)) = (&state, &watch.journal) {
            state = watch.secrecy.fold(&id, journal.load(&id).await?, plan)?;
        }
        if state.as_ref().is_none_or(|state| state.status() != RunStatus::RolledBack) {
            return Ok((id, state));
        }
    }
    Ok((RunId::from(base), None))
}

/// The report of a run of which nothing is to be taken back.
fn nothing_left<W: Workflow>(state: RunState) -> Report<W> {
    let started = state.started_at();
    Report::new(Recorder::new(state, Watch::default(), started, None))
}

/// A run that was to be taken back, and of which nothing is left, did what it was to do.
fn taken_back<W: Workflow, E: StepError>(
    ended: Result<Report<W>, Failure<W, E>>,
    way: Way,
) -> Result<Report<W>, Failure<W, E>> {
    match ended {
        Err(failure) if way == Way::Back => failure.into_report_if_rolled_back(),
        ended => ended,
    }
}

/// Shows what happens in a nested run to the observers of the run that it is in, and its progress in its step, which
/// also has what it tells machines.
struct Relay {
    // Not counted: a failure that is kept does not keep the run that it happened in.
    parent: Weak<Shared>,
    index: usize,
    run: RunId,
    /// What stops the nested run.
    stop: Arc<Stop>,
    is_forward: bool,
    told: f64,
}

impl Observer for Relay {
    fn event(&mut self, event: &Event) {
        let Some(parent) = self.parent.upgrade() else { return };
        let mut recorder = parent.lock();
        recorder.relay(event);
        match &event.kind {
            // No news, but the lack of them.
            Kind::Stalled(_) => {}
            Kind::StepRetry(retry) => recorder.hear_for(self.index, retry.delay),
            _ => recorder.hear(self.index),
        }
        // Nothing begins any more, here neither.
        if recorder.hears_refusal() {
            self.stop.raise(Level::Finish);
        }
        let Some(progress) = event.progress.as_ref().filter(|_| self.is_forward && event.run == self.run) else {
            return;
        };
        let fraction = (progress.percentage / 100.0).clamp(0.0, 1.0);
        let fraction = (fraction > self.told).then_some(fraction);
        self.told = fraction.unwrap_or(self.told);
        let metadata = match &event.kind {
            Kind::StepUpdate(update) => update.metadata.clone(),
            _ => Map::new(),
        };
        match fraction {
            Some(fraction) if metadata.is_empty() => recorder.record_fraction(self.index, None, fraction),
            None if metadata.is_empty() => return,
            fraction => {
                let step = recorder.state().step_ref(self.index);
                let update = StepUpdate { fraction, metadata, ..StepUpdate::of(step) };
                recorder.record_news(Kind::StepUpdate(Box::new(update)));
            }
        }
        // Nothing begins any more, here neither.
        if recorder.is_broken() {
            self.stop.raise(Level::Finish);
        }
    }

    fn scope(&mut self, start: &Event) -> Option<Box<dyn Scope>> {
        let scopes = self.parent.upgrade()?.lock().relay_scopes(start)?;
        Some(Box::new(scopes))
    }
}

/// Runs the workflow that a step declares.
pub async fn nested<W: Workflow, P: HandlerFor<W>, E: StepError>(
    cx: &mut StepContext,
    handler: P,
) -> super::Result<Option<Box<Value>>, E> {
    cx.nested(Runner::<W, P>::new(handler)).await.map(|_| None).map_err(of_nested)
}

/// Takes back what the workflow did that a step declares.
pub async fn undo_nested<W: Workflow, P: HandlerFor<W>, E: StepError>(
    cx: &mut StepContext,
    handler: P,
) -> super::Result<(), E> {
    cx.nested(Runner::<W, P>::new(handler)).await.map(drop).map_err(of_nested)
}

/// A nested run that was asked to stop was so because the whole was, and its journal is that of the whole.
#[expect(clippy::unnecessary_box_returns, reason = "what went wrong travels behind a pointer")]
fn of_nested<W: Workflow, I: StepError, E: StepError>(failure: Failure<W, I>) -> Box<Cause<E>> {
    if !matches!(failure.cause(), Cause::Cancelled | Cause::Journal(_)) {
        return Box::new(Cause::Nested(Box::new(failure)));
    }
    Box::new(match failure.into_parts().1 {
        Cause::Journal(error) => Cause::Journal(error),
        _ => Cause::Cancelled,
    })
}
