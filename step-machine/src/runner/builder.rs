//! How a run is asked for: [`Runner`].

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Settings;
use super::handler::{BoxFuture, HandlerFor};
use super::signals::Trigger;
use crate::event::Text;
use crate::faults::Faults;
use crate::opening::{Opening, Start, Way};
use crate::policy::OnFailure;
use crate::preview::Preview;
use crate::report::{Failure, Report};
use crate::stop::Level;
use crate::workflow::{Plan, SharedPlan, Skippable, Workflow};

/// What a run is to be like; everything is optional. From `YourEnum::run(&handler)`, and run by `.await`.
///
/// Needs a tokio runtime with its timer. A run that is dropped before its end leaves its steps, and itself, as
/// cancelled.
///
/// # Examples
///
/// ```
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow, Debug, PartialEq)]
/// #[workflow(on_failure = "rollback")]
/// enum Deploy {
///     #[step(output = u16, undo)]
///     Start,
///     #[step(needs(Start))]
///     HealthCheck,
/// }
///
/// struct Deployer {
///     answers: bool,
/// }
///
/// impl DeployHandler for Deployer {
///     type Error = std::io::Error;
///
///     async fn start(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
///         Ok(8080)
///     }
///
///     async fn undo_start(&self, cx: &mut StepContext, port: Option<&u16>) -> Result<(), Self::Error> {
///         cx.message(format!("stopping {port:?}"));
///         Ok(())
///     }
///
///     async fn health_check(&self, _: &mut StepContext, port: &u16) -> Result<(), Self::Error> {
///         let silence = || std::io::Error::other(format!("port {port} does not answer"));
///         if self.answers { Ok(()) } else { Err(silence()) }
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let run = Deploy::run(&Deployer { answers: true }).id("shop-7").label("ticket", "OPS-12");
/// match run.await {
///     Ok(report) => println!("{} completed in {:?}", report.run(), report.duration()),
///     Err(failure) => eprintln!("{failure:#}"), // the whole story
/// }
///
/// let failure = Deploy::run(&Deployer { answers: false }).await.unwrap_err();
/// assert_eq!(failure.step(), Some(Deploy::HealthCheck));
/// assert_eq!(failure.context().record().rollback.as_ref().unwrap().undos[0].step, "start");
/// # });
/// ```
#[must_use = "nothing runs before the run is awaited"]
pub struct Runner<'h, W, P> {
    pub(super) handler: P,
    pub(crate) opening: Opening,
    pub(super) settings: Arc<Settings>,
    pub(super) triggers: Vec<Trigger<'h>>,
    on_failure: Option<OnFailure>,
    deadline: Option<Duration>,
    pub(super) stalled_after: Option<Duration>,
    pub(super) way: Way,
    workflow: PhantomData<fn() -> W>,
}

impl<'h, W: Workflow, P: HandlerFor<W>> Runner<'h, W, P> {
    pub(crate) fn new(handler: P) -> Self {
        Self {
            handler,
            opening: Opening::default(),
            settings: Arc::default(),
            triggers: Vec::new(),
            on_failure: None,
            deadline: None,
            stalled_after: None,
            way: Way::AsLeft,
            workflow: PhantomData,
        }
    }

    crate::opening::setters!();

    /// Sets what a failure leads to, in place of what the workflow declares.
    pub fn on_failure(mut self, policy: OnFailure) -> Self {
        self.on_failure = Some(policy);
        self
    }

    /// Leaves a skippable step out, and says why. Its skip method is not asked.
    pub fn skip<S: Skippable<Workflow = W>>(mut self, step: S, why: impl Into<Text>) -> Self {
        let _ = step;
        self.set().skips.push((S::STEP.index(), why.into()));
        self
    }

    /// [`skip`](Self::skip) for a step that is known only when the program runs, as from a command line. Fails where it
    /// may not be skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{StepContext, Workflow};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     Download,
    ///     #[step(skippable)]
    ///     Announce,
    /// }
    /// # struct Deployer;
    /// # impl DeployHandler for Deployer {
    /// #     type Error = std::io::Error;
    /// #     async fn download(&self, _: &mut StepContext) -> Result<(), Self::Error> { Ok(()) }
    /// #     async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> { Ok(()) }
    /// # }
    ///
    /// let error = Deploy::run(&Deployer).try_skip(Deploy::Download, "no time").unwrap_err();
    /// assert_eq!(error.to_string(), "step `download` of `deploy` may not be skipped; those that may are: announce");
    /// ```
    pub fn try_skip(mut self, step: W, why: impl Into<Text>) -> Result<Self, NotSkippable> {
        if !step.info().skippable {
            return Err(NotSkippable::of(&step));
        }
        self.set().skips.push((step.index(), why.into()));
        Ok(self)
    }

    /// Takes back what the run of this id did, in place of going forward: one that failed, was cancelled, is stuck or was
    /// left half-way, by whichever process. Ends as every run that is rolled back, with the failure that stopped it; of
    /// that the journal has the record ([`Cause::Earlier`](crate::Cause::Earlier)).
    ///
    /// Fails with [`JournalError::NotFound`](crate::JournalError::NotFound) where the journal does not have the run, and
    /// with [`JournalError::Over`](crate::JournalError::Over) where it completed or was rolled back.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{MemoryJournal, StepContext, Workflow, event::RunStatus};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     #[step(undo)]
    ///     Start,
    ///     Check,
    /// }
    ///
    /// struct Deployer;
    ///
    /// impl DeployHandler for Deployer {
    ///     type Error = std::io::Error;
    ///
    ///     async fn start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn undo_start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn check(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         Err(std::io::Error::other("no answer"))
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let journal = MemoryJournal::new();
    /// let run = || Deploy::run(&Deployer).journal(journal.clone()).id("shop-7");
    /// let failure = run().await.unwrap_err();
    /// assert_eq!(failure.state().unwrap().status(), RunStatus::Failed);
    ///
    /// // Somebody looked into it, and has seen enough.
    /// let failure = run().rollback().await.unwrap_err();
    /// assert_eq!(failure.context().record().error.message, "no answer");
    /// assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    /// # });
    /// ```
    pub fn rollback(mut self) -> Self {
        self.opening.start = Start::Kept;
        self.way = Way::Back;
        self
    }

    /// Leaves the effect of `step` as it is where the run is rolled back: for an undo that cannot succeed, or should
    /// not run.
    pub fn skip_undo(mut self, step: W, why: impl Into<Text>) -> Self {
        self.set().kept.push((step.index(), why.into()));
        self
    }

    /// Runs no further than `step`: in a sequence it and all before it, in parallel it and what it needs. The run then
    /// ends as cancelled, because it was asked for; with a journal it can go on later.
    pub fn only_until(mut self, step: W) -> Self {
        self.set().until = Some(step.index());
        self
    }

    /// Sets how many steps of a parallel workflow may run at once, at least one; without it all that are ready do.
    pub fn max_parallel(mut self, steps: usize) -> Self {
        self.set().max_parallel = NonZeroUsize::new(steps).or(Some(NonZeroUsize::MIN));
        self
    }

    /// Sets the longest time that the run may take in this process, in place of what the workflow declares. A rollback
    /// does not count.
    pub fn deadline(mut self, span: Duration) -> Self {
        self.deadline = Some(span);
        self
    }

    /// Sets the longest time that a rollback may take. An undo that it cuts off counts as failed, and what is left is
    /// not begun: the run is stuck.
    pub fn rollback_deadline(mut self, span: Duration) -> Self {
        self.set().rollback_deadline = Some(span);
        self
    }

    /// Sets the silence after which a step counts as stalled that declares none of its own: then a
    /// [`stalled`](crate::event::Kind::Stalled) event tells of it, once a silence. Nothing else happens; nothing is told
    /// while a body keeps the thread for itself, and of the wait before the next attempt, also of one inside of the step.
    ///
    /// From outside, also where the process is gone, [`Journal::stalled`](crate::Journal::stalled) finds such runs.
    pub fn stalled_after(mut self, silence: Duration) -> Self {
        self.stalled_after = Some(silence);
        self
    }

    /// Cancels the steps beside a step that stops the run; without it they run to their ends.
    pub fn cancel_siblings(mut self) -> Self {
        self.set().cancel_siblings = true;
        self
    }

    /// Takes back what a cancelled run did; without it everything stays as it is.
    pub fn rollback_on_cancel(mut self) -> Self {
        self.set().rollback_on_cancel = true;
        self
    }

    /// Stops the run when `asked` ends: running steps finish, and nothing else starts. Has no effect on a rollback that
    /// goes on.
    ///
    /// Any future will do; a `CancellationToken` of `tokio-util` is `token.cancelled_owned()`.
    pub fn stop_on(self, asked: impl Future<Output = ()> + Send + 'h) -> Self {
        self.trigger(Trigger::On(Level::Finish, Box::pin(asked)))
    }

    /// Cancels the run when `asked` ends: running bodies are dropped where they are. In a rollback it cuts off the undo
    /// that is running, and the run is stuck; one that ended before the rollback began has no effect on it.
    ///
    /// Any future will do; a `CancellationToken` of `tokio-util` is `token.cancelled_owned()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{StepContext, Workflow, event::RunStatus};
    ///
    /// #[derive(Workflow)]
    /// enum Serve { Forever }
    ///
    /// struct Server;
    ///
    /// impl ServeHandler for Server {
    ///     type Error = std::convert::Infallible;
    ///
    ///     async fn forever(&self, _: &mut StepContext) -> Result<(), Self::Error> {
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let (enough, asked) = tokio::sync::oneshot::channel::<()>();
    /// let run = Serve::run(&Server).cancel_on(async move { drop(asked.await) });
    /// enough.send(()).unwrap();
    /// let failure = run.await.unwrap_err();
    /// assert_eq!(failure.state().unwrap().status(), RunStatus::Cancelled);
    /// # });
    /// ```
    pub fn cancel_on(self, asked: impl Future<Output = ()> + Send + 'h) -> Self {
        self.trigger(Trigger::On(Level::Now, Box::pin(asked)))
    }

    /// The first Ctrl-C stops the run after the steps that are running, the second one cancels them. A rollback goes on
    /// after a first one, and a second one cuts it off.
    ///
    /// From here on a Ctrl-C does not end the process by itself any more, also after the run: see
    /// [`tokio::signal::ctrl_c`]. Needs the feature `signal`.
    #[cfg(feature = "signal")]
    pub fn ctrl_c(self) -> Self {
        self.trigger(Trigger::CtrlC)
    }

    /// What the run would do, without running anything.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{StepContext, Workflow};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy {
    ///     Download,
    ///     #[step(skippable)]
    ///     Announce,
    /// }
    /// # struct Deployer;
    /// # impl DeployHandler for Deployer {
    /// #     type Error = std::io::Error;
    /// #     async fn download(&self, _: &mut StepContext) -> Result<(), Self::Error> { Ok(()) }
    /// #     async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> { Ok(()) }
    /// # }
    ///
    /// let preview = Deploy::run(&Deployer).skip(deploy::Announce, "nobody is awake").plan();
    /// println!("{preview}");
    /// assert_eq!(preview.waves(), [["download"]]);
    /// ```
    pub fn plan(&self) -> Preview {
        let preview = Preview::of(self.effective_plan()).max_parallel(self.settings.max_parallel);
        let skips = self.settings.skips.iter().rev();
        let preview = skips.fold(preview, |preview, (step, why)| preview.skip(*step, why.clone()));
        self.settings.until.into_iter().fold(preview, Preview::only_until)
    }

    /// Makes attempts go wrong on demand, to test what a workflow does then.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.set().faults = Some(faults);
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn trigger(mut self, trigger: Trigger<'h>) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// The plan with what was set in place of what it declares.
    pub(super) fn effective_plan(&self) -> SharedPlan {
        let plan = W::plan();
        let (on_failure, deadline) = (self.on_failure.unwrap_or(plan.on_failure), self.deadline.or(plan.deadline));
        if on_failure == plan.on_failure && deadline == plan.deadline {
            return plan.into();
        }
        Plan { on_failure, deadline, ..plan.clone() }.into()
    }
}

/// A step that was to be skipped, and may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step `{step}` of `{workflow}` may not be skipped; {}", those(.skippable))]
#[non_exhaustive]
pub struct NotSkippable {
    /// The workflow.
    pub workflow: &'static str,
    /// The step.
    pub step: &'static str,
    /// The steps that may be skipped.
    pub skippable: Vec<&'static str>,
}

impl NotSkippable {
    fn of<W: Workflow>(step: &W) -> Self {
        let skippable = W::plan().steps.iter().filter(|step| step.skippable).map(|step| step.id.as_str());
        Self { workflow: W::NAME, step: step.id(), skippable: skippable.collect() }
    }
}

fn those(skippable: &[&str]) -> String {
    if skippable.is_empty() { "none may".to_owned() } else { format!("those that may are: {}", skippable.join(", ")) }
}

impl<'h, W: Workflow, P: HandlerFor<W> + 'h> IntoFuture for Runner<'h, W, P> {
    type Output = Result<Report<W>, Failure<W, P::Error>>;
    type IntoFuture = BoxFuture<'h, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        // By reference: an async method that takes a run by value has room for two of them.
        Box::pin(async move { self.execute().await })
    }
}

impl<W, P> fmt::Debug for Runner<'_, W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("id", &self.opening.id)
            .field("labels", &self.opening.labels())
            .finish_non_exhaustive()
    }
}
