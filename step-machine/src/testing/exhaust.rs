//! Everything that can go wrong, one after the other.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::case::{Attempts, Case, Injection, Seen, id};
use super::mismatch::Mismatch;
use crate::faults::Fault;
use crate::workflow::Workflow;

/// How long one case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a workflow again and again, and breaks it everywhere.
///
/// `drive` is called once for each case. It makes a fresh environment, runs the workflow in it with
/// [`case.faults()`](Case::faults), hands the end of the run to [`case.check`](Case::check) and asserts what is left
/// behind. The cases:
///
/// - Nothing goes wrong: the run completes without a warning. This tells which steps there are to break.
/// - Each step that ran fails, fails after its work, and panics; where it declares a retry, also only at first.
/// - Each step that ran is repeated, as after a crash.
/// - Where a failure is rolled back: after each step that stops the run by failing after its work, each undo is
///   repeated, and each undo fails, so that the run is stuck; where the step declares a retry, also only at first.
///
/// A case that does not go as it has to ends it all with an error that names the case, also where `drive` panics.
/// A case that takes longer than a minute fails; see [`exhaust_within`]. With tokio's paused clock retries wait no
/// time, and the limit counts the time that seems to pass.
///
/// # What is not covered
///
/// - Steps that did not run when nothing went wrong, as they were skipped: see
///   [`Exhausted::not_covered`]. What the methods do that are asked whether to skip a step.
/// - The steps of nested workflows: a step with a workflow inside is broken as a whole, before and after that. Call
///   this for the inner workflow by itself.
/// - Two failures at once, attempts that hang, a stop from outside, a journal that fails, and runs that are resumed.
///   A run that is given a journal needs a new journal or id in each case.
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
///
/// use step_machine::event::RunStatus;
/// use step_machine::testing::{self, Case};
/// use step_machine::{StepContext, Workflow};
///
/// #[derive(Workflow)]
/// #[workflow(on_failure = "rollback")]
/// enum Deploy {
///     #[step(undo)]
///     Download,
///     #[step(undo, retry(attempts = 2, delay = "1ms"))]
///     Start,
///     HealthCheck,
/// }
///
/// #[derive(Default)]
/// struct World {
///     files: Mutex<Vec<&'static str>>,
/// }
///
/// impl World {
///     fn put(&self, file: &'static str) {
///         let mut files = self.files.lock().unwrap();
///         if !files.contains(&file) {
///             files.push(file);
///         }
///     }
///
///     fn remove(&self, file: &'static str) {
///         self.files.lock().unwrap().retain(|other| *other != file);
///     }
/// }
///
/// impl DeployHandler for World {
///     type Error = std::io::Error;
///
///     async fn download(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.put("archive"))
///     }
///
///     async fn undo_download(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.remove("archive"))
///     }
///
///     async fn start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.put("pid"))
///     }
///
///     async fn undo_start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(self.remove("pid"))
///     }
///
///     async fn health_check(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(())
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let exhausted = testing::exhaust(async |case: Case<Deploy>| {
///     let world = World::default();
///     let ended = Deploy::run(&world).faults(case.faults()).await;
///     if case.check(&ended)? == RunStatus::RolledBack {
///         assert!(world.files.lock().unwrap().is_empty());
///     }
///     Ok(())
/// });
/// let exhausted = exhausted.await.unwrap();
/// assert!(exhausted.not_covered().is_empty());
/// let cases: Vec<_> = exhausted.cases().iter().map(ToString::to_string).collect();
/// assert_eq!(cases[2], "download fails after its work");
/// assert_eq!(cases[3], "download fails after its work, and the undo of download is repeated");
/// # });
/// ```
pub async fn exhaust<W: Workflow>(
    drive: impl AsyncFnMut(Case<W>) -> Result<(), Mismatch>,
) -> Result<Exhausted<W>, ExhaustError<W>> {
    exhaust_within(LIMIT, drive).await
}

/// [`exhaust`] where one case may take this long.
pub async fn exhaust_within<W: Workflow>(
    limit: Duration,
    drive: impl AsyncFnMut(Case<W>) -> Result<(), Mismatch>,
) -> Result<Exhausted<W>, ExhaustError<W>> {
    if W::plan().steps.is_empty() {
        return Err(ExhaustError::NoSteps);
    }
    let mut tour = Tour { drive, limit, cases: Vec::new() };
    let began = tour.visit([]).await?.began;
    if began.is_empty() {
        return Err(ExhaustError::NothingRan);
    }
    for &step in &began {
        tour.break_step(step).await?;
    }
    let not_covered = (0..W::plan().steps.len()).filter(|step| !began.contains(step)).map(id::<W>).collect();
    Ok(Exhausted { cases: tour.cases, not_covered })
}

/// The cases that were visited, and what the next one is visited with.
struct Tour<W, F> {
    drive: F,
    limit: Duration,
    cases: Vec<Case<W>>,
}

impl<W: Workflow, F: AsyncFnMut(Case<W>) -> Result<(), Mismatch>> Tour<W, F> {
    async fn break_step(&mut self, step: usize) -> Result<(), ExhaustError<W>> {
        for attempts in attempts::<W>(step) {
            self.visit([Injection::new(id::<W>(step), Fault::Fail, attempts)]).await?;
            let after = Injection::new(id::<W>(step), Fault::FailAfter, attempts);
            for undo in self.visit([after]).await?.undos {
                self.break_undo(after, undo).await?;
            }
        }
        for fault in [Fault::Panic, Fault::Repeat] {
            self.visit([Injection::new(id::<W>(step), fault, Attempts::All)]).await?;
        }
        Ok(())
    }

    async fn break_undo(&mut self, failing: Injection, undo: usize) -> Result<(), ExhaustError<W>> {
        self.visit([failing, Injection::new(id::<W>(undo), Fault::Repeat, Attempts::All).in_undo()]).await?;
        for attempts in attempts::<W>(undo) {
            self.visit([failing, Injection::new(id::<W>(undo), Fault::Fail, attempts).in_undo()]).await?;
        }
        Ok(())
    }

    /// Runs one case to its end, within its time.
    async fn visit<const N: usize>(&mut self, injections: [Injection; N]) -> Result<Seen, ExhaustError<W>> {
        let case = Case::new(injections.to_vec());
        let seen = match tokio::time::timeout(self.limit, caught((self.drive)(case.clone()))).await {
            Ok(Ok(Ok(()))) => case.take_seen(),
            Ok(Ok(Err(mismatch))) => return Err(ExhaustError::Mismatch { case, mismatch }),
            Ok(Err(Panicked)) => return Err(ExhaustError::Panicked { case }),
            Err(_) => return Err(ExhaustError::TooLong { case, limit: self.limit }),
        };
        let Some(seen) = seen else { return Err(ExhaustError::Unchecked { case }) };
        self.cases.push(case);
        Ok(seen)
    }
}

/// The attempts at a step, or at undoing it, that go wrong in turn.
fn attempts<W: Workflow>(step: usize) -> impl Iterator<Item = Attempts> {
    let is_retried = W::plan().steps[step].retry.is_some_and(|retry| retry.attempts > 1);
    std::iter::once(Attempts::All).chain(is_retried.then_some(Attempts::First))
}

pub(super) struct Panicked;

/// The end of a future that may panic.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(ended)) => Poll::Ready(Ok(ended)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// What [`exhaust`] went through.
pub struct Exhausted<W> {
    cases: Vec<Case<W>>,
    not_covered: Vec<&'static str>,
}

impl<W> Exhausted<W> {
    /// The cases in the order in which they ran.
    pub fn cases(&self) -> &[Case<W>] {
        &self.cases
    }

    /// The ids of the steps that did not run, and so were not broken.
    pub fn not_covered(&self) -> &[&'static str] {
        &self.not_covered
    }
}

impl<W> fmt::Debug for Exhausted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exhausted").field("cases", &self.cases).field("not_covered", &self.not_covered).finish()
    }
}

/// Why [`exhaust`] did not come to its end.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ExhaustError<W> {
    /// The workflow has no steps, so there is nothing to break.
    #[error("the workflow has no steps to break")]
    NoSteps,
    /// No step began when nothing went wrong, so there is nothing to break.
    #[error("all steps were skipped, so there is nothing to break")]
    NothingRan,
    /// The run did not go as it had to.
    #[error("where {case}: {mismatch}")]
    Mismatch {
        /// The case.
        case: Case<W>,
        /// The difference.
        mismatch: Mismatch,
    },
    /// The case ended without a check that succeeded.
    #[error("where {case}: nothing was checked; call `case.check(&ended)?`")]
    Unchecked {
        /// The case.
        case: Case<W>,
    },
    /// The case panicked, for one because an assertion does not hold. The panic's text was printed when it happened.
    #[error("where {case}: it panicked")]
    Panicked {
        /// The case.
        case: Case<W>,
    },
    /// The case took too long.
    #[error("where {case}: it took longer than {limit:?}")]
    TooLong {
        /// The case.
        case: Case<W>,
        /// How long it may take.
        limit: Duration,
    },
}

/// Its text: what a test ends with that unwraps it.
impl<W> fmt::Debug for ExhaustError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
