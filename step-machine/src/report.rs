//! What a run ends with: a [`Report`] or a [`Failure`].

mod rollback;

use std::error::Error;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::event::{Effect, ErrorRecord, FailureRecord, RunStatus, StepStatus, Text};
use crate::failure::{self, Cause, FailureContext, StepError};
use crate::journal::JournalError;
use crate::observe::ObserverFault;
use crate::recorder::Recorder;
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::Workflow;

/// A completed run.
///
/// # Examples
///
/// ```
/// use step_machine::Workflow;
///
/// #[derive(Workflow, Debug, PartialEq)]
/// enum Release {
///     Build,
///     #[step(critical = false)]
///     Announce,
/// }
/// use release::*;
///
/// let run = Release::machine().begin()?;
/// let run = run.step(Build, |_| Ok::<(), std::io::Error>(()))?;
/// let run = run.step(Announce, |_| Err(std::io::Error::other("the chat is down")));
/// let report = run.finish()?;
/// assert_eq!(report.warnings().collect::<Vec<_>>(), [Release::Announce]);
/// println!("{report}"); // `release` completed in 0.000 s, with 1 warning
/// assert!(report.to_string().ends_with(", with 1 warning"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Report<W> {
    run: Box<Recorder>,
    faults: Vec<ObserverFault>,
    workflow: PhantomData<fn() -> W>,
}

impl<W: Workflow> Report<W> {
    pub(crate) fn new(mut run: Box<Recorder>) -> Self {
        Self { faults: run.release(), run, workflow: PhantomData }
    }

    /// The steps that failed without being critical, in declared order.
    pub fn warnings(&self) -> impl Iterator<Item = W> {
        let steps = self.state().steps().iter().enumerate();
        let failed = steps.filter(|(_, step)| step.status() == StepStatus::Skipped && step.error().is_some());
        failed.filter_map(|(index, _)| W::from_index(index))
    }
}

impl<W> Report<W> {
    /// The run.
    pub fn run(&self) -> &RunId {
        self.state().run()
    }

    /// The final state of the run: every step with its status, times, output and error.
    pub fn state(&self) -> &RunState {
        self.run.state()
    }

    /// How long the run took, from its first start, time between processes included.
    pub fn duration(&self) -> Duration {
        self.state().elapsed()
    }

    /// How many fractions that steps and tasks told became no event, as they came too fast; in all processes that drove
    /// the run. Of a run that did not complete, its state tells the same.
    pub fn thinned(&self) -> u64 {
        self.state().thinned()
    }

    /// The observers that panicked. They never hurt the run, but what they showed may be wrong.
    pub fn observer_faults(&self) -> &[ObserverFault] {
        &self.faults
    }
}

/// One line: how the run ended and what it took.
impl<W> fmt::Display for Report<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "`{}` {} in {}", state.workflow(), state.status(), failure::short(state.elapsed()))?;
        match state.warnings() {
            0 => Ok(()),
            1 => f.write_str(", with 1 warning"),
            warnings => write!(f, ", with {warnings} warnings"),
        }
    }
}

impl<W> fmt::Debug for Report<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("state", self.state())
            .field("observer_faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// A run that settled every step, and whose journal could not take that.
///
/// Turns into a [`Failure`] by `?`. Once the journal can be written, the same code under the same id goes on where the
/// journal is.
pub struct Unfinished<W> {
    run: Box<Recorder>,
    error: Box<JournalError>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> Unfinished<W> {
    pub(crate) fn new(mut run: Box<Recorder>, error: JournalError) -> Self {
        run.let_go_if_broken();
        Self { run, error: Box::new(error), workflow: PhantomData }
    }

    /// What the journal says.
    pub fn error(&self) -> &JournalError {
        &self.error
    }

    /// The state of the run as far as the journal has it.
    pub fn state(&self) -> &RunState {
        self.run.state()
    }
}

impl<W> fmt::Debug for Unfinished<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("error", &self.error).field("run", &self.run).finish()
    }
}

impl<W> fmt::Display for Unfinished<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<W> Error for Unfinished<W> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl<W: Workflow, E: StepError> From<Unfinished<W>> for Failure<W, E> {
    fn from(unfinished: Unfinished<W>) -> Self {
        Self::new(unfinished.run, None, Cause::Journal(*unfinished.error))
    }
}

/// A run that did not complete: the failure context and the cause, in one pointer.
///
/// `{}` is one line, `{:#}` the whole story; the step's own error is the [`source`](Error::source).
///
/// # Examples
///
/// ```
/// use step_machine::{Cause, Failure, Workflow};
///
/// #[derive(Workflow, Debug, PartialEq)]
/// enum Deploy { Download, Start }
/// use deploy::*;
///
/// fn run() -> Result<(), Failure<Deploy, std::io::Error>> {
///     let run = Deploy::machine().begin()?;
///     let run = run.step(Download, |_| Ok(()))?;
///     let run = run.step(Start, |_| Err(std::io::ErrorKind::AddrInUse.into()))?;
///     run.finish()?;
///     Ok(())
/// }
///
/// let failure = run().unwrap_err();
/// assert_eq!(failure.step(), Some(Deploy::Start));
/// assert_eq!(failure.context().record().step_number, 2);
/// assert!(matches!(failure.cause(), Cause::Error(error) if error.kind() == std::io::ErrorKind::AddrInUse));
/// ```
///
/// A workflow that declares `on_failure = "rollback"` stays open until [`rollback`](Self::rollback) is called; a
/// failure that is dropped without it, or turned into its context, ends the run as failed.
pub struct Failure<W, E>(Box<Inner<W, E>>);

struct Inner<W, E> {
    context: FailureContext<W>,
    cause: Cause<E>,
    // None where the run never got as far as a step.
    run: Option<Box<Recorder>>,
    /// Why the record of the failure, or of its rollback, is not complete.
    journal: Option<JournalError>,
    /// The steps whose effect is to stay, and why.
    kept: Vec<(usize, Text)>,
}

impl<W: Workflow, E: StepError> Failure<W, E> {
    /// The failure of a run that `step` stopped, or that was stopped between steps.
    #[cold]
    pub(crate) fn new(mut run: Box<Recorder>, step: Option<usize>, cause: Cause<E>) -> Self {
        let mut record = run.failed_step(step, cause.record());
        if !run.awaits_rollback() {
            run.end_failed(&record);
        }
        let journal = run.take_fault();
        run.let_go_if_broken();
        record.journal = journal.as_ref().map(failure::whole_text);
        let context = FailureContext::trusted(record);
        Self(Box::new(Inner { context, cause, run: Some(run), journal, kept: Vec::new() }))
    }
}

impl<W: Workflow, E: StepError> Failure<W, E> {
    /// What stopped a run of which only the record is left.
    pub(crate) fn earlier(run: Box<Recorder>) -> Self {
        let record = failure::halted(run.state());
        let error = Box::new(record.error.clone());
        Self::after(run, Cause::Earlier { error }, record)
    }

    /// The failure of a run that has ended, or that only goes back any more.
    #[cold]
    pub(crate) fn after(mut run: Box<Recorder>, cause: Cause<E>, mut record: FailureRecord) -> Self {
        let journal = run.take_fault();
        run.let_go_if_broken();
        record.journal = journal.as_ref().map(failure::whole_text);
        let context = FailureContext::trusted(record);
        Self(Box::new(Inner { context, cause, run: Some(run), journal, kept: Vec::new() }))
    }

    /// A run that was to be rolled back, and is, is no failure.
    #[cfg(feature = "runner")]
    pub(crate) fn into_report_if_rolled_back(mut self) -> Result<Report<W>, Self> {
        let is_rolled_back = |run: &mut Box<Recorder>| run.state().status() == RunStatus::RolledBack;
        match self.0.run.take_if(is_rolled_back) {
            Some(run) => Ok(Report::new(run)),
            None => Err(self),
        }
    }
}

impl<W: Workflow, E> Failure<W, E> {
    /// The step that failed; `None` where the run failed between steps, for one because its journal did.
    pub fn step(&self) -> Option<W> {
        self.0.context.step()
    }
}

impl<W, E> Failure<W, E> {
    /// What is known of the failure.
    pub fn context(&self) -> &FailureContext<W> {
        &self.0.context
    }

    /// What is known of the failure, to store it. A rollback that was not called for does not happen.
    pub fn into_context(self) -> FailureContext<W> {
        self.into_parts().0
    }

    /// What stopped the run.
    pub fn cause(&self) -> &Cause<E> {
        &self.0.cause
    }

    /// What is known of the failure, and what stopped the run.
    pub fn into_parts(self) -> (FailureContext<W>, Cause<E>) {
        let inner = *self.0;
        (inner.context, inner.cause)
    }

    /// The state of the run, where it began.
    pub fn state(&self) -> Option<&RunState> {
        let run = self.0.run.as_ref().filter(|run| run.has_begun())?;
        Some(run.state())
    }

    /// Why the journal does not have the step's failure, the end of this run or its rollback.
    ///
    /// A journal that fails before, where no step had, is the [`cause`](Self::cause).
    pub fn journal_error(&self) -> Option<&JournalError> {
        self.0.journal.as_ref()
    }

    /// The observers that panicked. They never hurt the run, but what they showed may be wrong.
    pub fn observer_faults(&self) -> Vec<ObserverFault> {
        self.0.run.as_ref().map(|run| run.observer_faults()).unwrap_or_default()
    }

    /// Writes the trace of the failure; see [`FailureContext::write_trace`].
    pub fn write_trace(&mut self, dir: impl AsRef<Path>) -> io::Result<PathBuf> {
        self.0.context.write_trace(dir)
    }
}

impl<W: Workflow, E: StepError> From<JournalError> for Failure<W, E> {
    fn from(error: JournalError) -> Self {
        let run = error.run().cloned().unwrap_or_else(|| RunId::from("unknown"));
        let cause = Cause::Journal(error);
        Self(Box::new(Inner {
            context: FailureContext::trusted(failure::outside::<W>(&run, cause.record())),
            cause,
            run: None,
            journal: None,
            kept: Vec::new(),
        }))
    }
}

impl<W, E> fmt::Display for Failure<W, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.context.fmt(f)
    }
}

impl<W, E: fmt::Debug> fmt::Debug for Failure<W, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("context", &self.0.context).field("cause", &self.0.cause).finish()
    }
}

// Asks no more of `E` than it needs, so that a step error which does not classify itself is reported once.
impl<W: 'static, E: Error + 'static> Error for Failure<W, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.source()
    }
}

/// The failure of a workflow that ran inside a step of another one.
///
/// Is never fatal: where the step has attempts left, the next one may well succeed.
#[diagnostic::do_not_recommend]
impl<W: Workflow, E: StepError> StepError for Failure<W, E> {
    fn kind(&self) -> &str {
        self.context().kind()
    }

    fn effect(&self) -> Effect {
        self.context().record().error.effect
    }

    fn nested(&self) -> Option<&FailureRecord> {
        Some(self.context().record())
    }
}

impl Recorder {
    /// What is known of a run that `step` stopped, or that was stopped between steps.
    pub(crate) fn failed_step(&self, step: Option<usize>, error: ErrorRecord) -> FailureRecord {
        let mut record = failure::failed_step(self.state(), step, error);
        if !self.has_begun() {
            return failure::refused(record);
        }
        if self.is_broken() {
            // What is on record ends before that.
            let now = self.elapsed();
            (record.failed_at, record.run_duration) = (self.state().time_at(now), Duration::from_nanos(now));
        }
        record
    }

    /// The one step whose outcome the journal does not have, where it failed and there is one.
    #[cfg(feature = "runner")]
    pub(crate) fn left_open(&self) -> Option<usize> {
        let is_open = |index: &usize| self.step(*index).status() == StepStatus::Running;
        let mut open = (0..self.state().steps().len()).filter(is_open);
        open.next().filter(|_| open.next().is_none())
    }

    /// Ends a run that was driven as far as it goes; `failed` is what was known before any rollback, and what is now
    /// comes back.
    #[cfg(feature = "runner")]
    pub(crate) fn end_after<E: StepError>(&mut self, cause: &Cause<E>, failed: &FailureRecord) -> FailureRecord {
        if !self.has_begun() {
            return failed.clone();
        }
        let record = rollback::with_rollback(self.state(), failed);
        match self.state().status() {
            RunStatus::RollingBack => self.end_rollback(&record),
            RunStatus::Running => drop(self.end(cause.status(), Some(record.clone()))),
            _ => {}
        }
        record
    }

    /// Whether the workflow's policy leaves the run open for a rollback, and there is something to undo.
    fn awaits_rollback(&self) -> bool {
        let state = self.state();
        state.plan().on_failure == crate::policy::OnFailure::Rollback
            && state.status() == RunStatus::Running
            && !self.is_broken()
            && !state.to_undo().is_empty()
    }

    /// Ends the run as failed.
    fn end_failed(&mut self, record: &FailureRecord) {
        if self.state().status() == RunStatus::Running && !self.is_broken() {
            self.end(RunStatus::Failed, Some(record.clone()));
        }
    }
}
