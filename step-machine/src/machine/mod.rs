//! You drive, the compiler checks: [`Machine`].

mod builder;
mod guard;
mod order;

use std::fmt;
use std::marker::PhantomData;

pub use builder::MachineBuilder;
pub use guard::{Entry, Guard, Settled};
pub use order::{Done, End, Finished, RunsAt, Todo};

use crate::context::StepContext;
use crate::event::{RunStatus, Text};
use crate::failure::StepError;
use crate::observe::Scoped;
use crate::recorder::Recorder;
use crate::report::{Failure, Report, Unfinished};
use crate::rule::Rule;
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::{Skippable, Step, Workflow};

/// What a step returns, by its rules; see [`rule`](crate::rule).
pub type Returns<W, At, S, E> =
    <<S as Step>::Rule as Rule>::Returns<Machine<W, <S as RunsAt<At>>::Next>, Failure<W, E>, <S as Step>::Output>;

/// A run of the workflow `W` that is at `At`.
///
/// Every method that runs a step takes the machine and gives back the next one, so a step out of order, run twice,
/// skipped without leave or forgotten does not compile. A machine that is dropped before its end leaves a cancelled
/// run.
///
/// # Examples
///
/// ```
/// use step_machine::Workflow;
///
/// #[derive(Workflow)]
/// enum Deploy {
///     #[step(output = u16)]
///     Start,
///     HealthCheck,
///     #[step(skippable)]
///     Announce,
/// }
/// use deploy::*;
///
/// let run = Deploy::machine().begin()?;
/// let (run, port) = run.step(Start, |_| Ok::<_, std::io::Error>(8080))?;
/// let run = run.step(HealthCheck, |cx| {
///     cx.message(format!("asking port {port}"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// let run = run.skip(Announce, "nobody is awake");
/// let report = run.finish()?;
/// assert_eq!(report.state().progress().percentage, 100.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a machine that is dropped before `finish` leaves a cancelled run"]
pub struct Machine<W, At> {
    recorder: Box<Recorder>,
    at: PhantomData<fn() -> (W, At)>,
}

impl<W: Workflow, At> Machine<W, At> {
    pub(crate) fn new(recorder: Box<Recorder>) -> Self {
        Self { recorder, at: PhantomData }
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        self.state().run()
    }

    /// Where the run stands.
    pub fn state(&self) -> &RunState {
        self.recorder.state()
    }

    /// Runs `step` with `body`, once.
    ///
    /// What comes back follows from the step's rules: see [`rule`](crate::rule). A panic of the body goes on through
    /// here; the step is recorded as cancelled.
    ///
    /// A step that this run has settled before, under the same id in the same journal, is not run again: its recorded
    /// output is handed out.
    #[inline]
    pub fn step<S, E>(
        self,
        step: S,
        body: impl FnOnce(&mut StepContext) -> Result<S::Output, E>,
    ) -> Returns<W, At, S, E>
    where
        S: Step + RunsAt<At>,
        E: StepError,
    {
        match self.enter(step) {
            Entry::Run(mut guard) => {
                if guard.context().has_scopes() {
                    return guard.run_inside(body);
                }
                let result = body(guard.context());
                guard.complete(result)
            }
            Entry::Settled(settled) => settled.proceed(),
        }
    }

    /// [`step`](Self::step) with a body that waits on something. Needs no particular runtime.
    ///
    /// A future that is dropped before its end leaves the step, and the run, as cancelled.
    pub async fn step_async<S, E>(
        self,
        step: S,
        body: impl AsyncFnOnce(&mut StepContext) -> Result<S::Output, E>,
    ) -> Returns<W, At, S, E>
    where
        S: Step + RunsAt<At>,
        E: StepError,
    {
        match self.enter(step) {
            Entry::Run(mut guard) => {
                let result = match guard.scopes() {
                    None => body(guard.context()).await,
                    Some(scopes) => Scoped::new(scopes, Box::pin(body(guard.context()))).await,
                };
                guard.complete(result)
            }
            Entry::Settled(settled) => settled.proceed(),
        }
    }

    /// [`step`](Self::step), tried again by the step's retry rule. Waits on this thread, by the run's clock.
    ///
    /// A fatal error is not tried again, and an error that says how long to wait is obeyed.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{Workflow, time::ManualClock};
    ///
    /// #[derive(Workflow)]
    /// enum Wait {
    ///     #[step(retry(attempts = 30, delay = "1s"))]
    ///     Ssh,
    /// }
    ///
    /// let run = Wait::machine().clock(ManualClock::new()).begin()?;
    /// let run = run.step_retry(wait::Ssh, |cx| match cx.attempt() {
    ///     5 => Ok(()),
    ///     _ => Err(std::io::Error::other("connection refused")),
    /// })?;
    /// assert_eq!(run.finish()?.state().step("ssh").unwrap().attempts(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step_retry<S, E>(
        self,
        step: S,
        mut body: impl FnMut(&mut StepContext) -> Result<S::Output, E>,
    ) -> Returns<W, At, S, E>
    where
        S: Step + RunsAt<At>,
        E: StepError,
    {
        let mut guard = match self.enter(step) {
            Entry::Run(guard) => guard,
            Entry::Settled(settled) => return settled.proceed(),
        };
        let mut failed = 0;
        loop {
            let cx = guard.context();
            let error = match if cx.has_scopes() { cx.run_inside(&mut body) } else { body(cx) } {
                Err(error) => error,
                done => return guard.complete(done),
            };
            failed += 1;
            let Some(delay) = guard.next_attempt(failed, &error) else {
                return guard.complete(Err(error));
            };
            guard.sleep(delay);
            if !guard.begin_again() {
                return guard.complete(Err(error));
            }
        }
    }

    /// [`step_retry`](Self::step_retry) with a body that waits on something. Waits by tokio's timer.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer, where an attempt failed and another one is due.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::Workflow;
    ///
    /// #[derive(Workflow)]
    /// enum Wait {
    ///     #[step(retry(attempts = 30, delay = "1ms"))]
    ///     Ssh,
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let run = Wait::machine().begin()?;
    /// let run = run.step_retry_async(wait::Ssh, async |cx| match cx.attempt() {
    ///     5 => Ok(()),
    ///     _ => Err(std::io::Error::other("connection refused")),
    /// });
    /// assert_eq!(run.await?.finish()?.state().step("ssh").unwrap().attempts(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[cfg(feature = "runner")]
    pub async fn step_retry_async<S, E>(
        self,
        step: S,
        mut body: impl AsyncFnMut(&mut StepContext) -> Result<S::Output, E>,
    ) -> Returns<W, At, S, E>
    where
        S: Step + RunsAt<At>,
        E: StepError,
    {
        let mut guard = match self.enter(step) {
            Entry::Run(guard) => guard,
            Entry::Settled(settled) => return settled.proceed(),
        };
        let mut failed = 0;
        loop {
            let result = match guard.scopes() {
                None => body(guard.context()).await,
                Some(scopes) => Scoped::new(scopes, Box::pin(body(guard.context()))).await,
            };
            let error = match result {
                Err(error) => error,
                done => return guard.complete(done),
            };
            failed += 1;
            let Some(delay) = guard.next_attempt(failed, &error) else {
                return guard.complete(Err(error));
            };
            tokio::time::sleep(delay).await;
            if !guard.begin_again() {
                return guard.complete(Err(error));
            }
        }
    }

    /// Begins `step` and leaves its body to the caller: the guard under [`step`](Self::step), for what does not fit a
    /// closure. Nothing puts an observer's [`Scope`](crate::observe::Scope) around such a body.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{Entry, Workflow};
    ///
    /// #[derive(Workflow)]
    /// enum Deploy { Start }
    ///
    /// let run = Deploy::machine().begin()?;
    /// let run = match run.enter(deploy::Start) {
    ///     Entry::Run(mut guard) => {
    ///         guard.context().message("starting");
    ///         guard.complete(Ok::<(), std::io::Error>(()))
    ///     }
    ///     Entry::Settled(settled) => settled.proceed(),
    /// }?;
    /// run.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn enter<S>(mut self, step: S) -> Entry<W, At, S>
    where
        S: Step + RunsAt<At>,
    {
        let _ = step;
        if self.recorder.begin_step(S::STEP.index()) {
            Entry::Run(Guard::new(self.recorder))
        } else {
            Entry::Settled(Settled::new(self.recorder))
        }
    }

    /// Leaves a skippable step out, and says why.
    ///
    /// A step that has settled before, under the same id in the same journal, stays as it was.
    pub fn skip<S>(mut self, step: S, why: impl Into<Text>) -> Machine<W, S::Next>
    where
        S: Step + Skippable + RunsAt<At>,
    {
        let _ = step;
        self.recorder.skip_step(S::STEP.index(), why.into());
        Machine::new(self.recorder)
    }

    /// Ends a run that has settled every step. Fails only where its journal does, now or in a step before that returned
    /// no `Result`.
    pub fn finish(mut self) -> Result<Report<W>, Unfinished<W>>
    where
        At: Finished<W>,
    {
        // A run that had completed before, and was only replayed, has its end already.
        if self.state().status() == RunStatus::Running {
            self.recorder.finish();
        }
        match self.recorder.take_fault() {
            Some(error) => Err(Unfinished::new(self.recorder, error)),
            None => Ok(Report::new(self.recorder)),
        }
    }
}

impl<W, At> fmt::Debug for Machine<W, At> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("at", &std::any::type_name::<At>()).field("run", &self.recorder).finish()
    }
}
