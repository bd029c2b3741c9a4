//! Faults on demand.

use std::sync::{Arc, Mutex};

use crate::context::{Phase, StepContext};
use crate::failure::Cause;
use crate::sync::lock;
use crate::workflow::Workflow;

/// What is made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The body is not called, and the attempt fails.
    Fail,
    /// The body does all of its work, and then the attempt fails: nobody knows what was changed.
    FailAfter,
    /// The body is not called, and the attempt panics.
    Panic,
    /// The body is not called, and the attempt never ends by itself.
    Hang,
    /// The body is called twice where it goes well, as after a crash whose outcome was lost; the second result counts.
    Repeat,
}

/// Which attempts go wrong, and how; see [`Runner::faults`](crate::runner::Runner::faults).
///
/// # Examples
///
/// ```
/// use step_machine::testing::{Fault, Faults};
/// use step_machine::{Cause, StepContext, Workflow};
///
/// #[derive(Workflow, Debug, PartialEq)]
/// enum Deploy {
///     Download,
///     #[step(retry(attempts = 3, delay = "10ms"))]
///     Start,
/// }
///
/// struct Deployer;
///
/// impl DeployHandler for Deployer {
///     type Error = std::io::Error;
///
///     async fn download(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(())
///     }
///
///     async fn start(&self, _: &mut StepContext) -> Result<(), Self::Error> {
///         Ok(())
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// // The first attempt goes wrong, the second one goes well.
/// let report = Deploy::run(&Deployer).faults(Faults::new().attempt(Deploy::Start, 1, Fault::Panic)).await;
/// assert!(matches!(report.unwrap_err().cause(), Cause::Panic { .. }), "a panic is not tried again");
///
/// let report = Deploy::run(&Deployer).faults(Faults::new().attempt(Deploy::Start, 1, Fault::Fail)).await;
/// assert_eq!(report.unwrap().state().step("start").unwrap().attempts(), 2);
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Faults {
    faults: Vec<Entry>,
    /// What was called, where somebody wants to know. Clones share it.
    calls: Option<Arc<Mutex<Vec<Call>>>>,
}

/// An attempt that began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) step: usize,
    pub(crate) undo: bool,
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug, Clone)]
struct Entry {
    step: String,
    undo: bool,
    /// `None` for every attempt.
    attempt: Option<u32>,
    fault: Fault,
}

impl Faults {
    /// No faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every attempt at `step` goes wrong so.
    #[must_use]
    pub fn step<W: Workflow>(self, step: W, fault: Fault) -> Self {
        self.with(step, false, None, fault)
    }

    /// One attempt at `step` goes wrong so, counted from 1.
    #[must_use]
    pub fn attempt<W: Workflow>(self, step: W, attempt: u32, fault: Fault) -> Self {
        self.with(step, false, Some(attempt), fault)
    }

    /// Every attempt at undoing `step` goes wrong so.
    #[must_use]
    pub fn undo<W: Workflow>(self, step: W, fault: Fault) -> Self {
        self.with(step, true, None, fault)
    }

    /// One attempt at undoing `step` goes wrong so, counted from 1.
    #[must_use]
    pub fn undo_attempt<W: Workflow>(self, step: W, attempt: u32, fault: Fault) -> Self {
        self.with(step, true, Some(attempt), fault)
    }

    fn with<W: Workflow>(self, step: W, undo: bool, attempt: Option<u32>, fault: Fault) -> Self {
        self.at(step.id(), undo, attempt, fault)
    }

    /// The attempts at the step with this id, or at undoing it, go wrong so; `None` for every attempt.
    pub(crate) fn at(mut self, step: &str, undo: bool, attempt: Option<u32>, fault: Fault) -> Self {
        self.faults.push(Entry { step: step.to_owned(), undo, attempt, fault });
        self
    }

    /// Writes down what is called from now on.
    pub(crate) fn written_down(mut self) -> Self {
        self.calls = Some(Arc::default());
        self
    }

    /// What was called, where that was to be written down.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.as_deref().map(|calls| lock(calls).clone()).unwrap_or_default()
    }

    /// What goes wrong in the attempt that `cx` is for, which begins now.
    pub(crate) fn hit(&self, cx: &StepContext) -> Option<Fault> {
        let (step, undo, attempt) = (cx.step(), cx.phase == Phase::Undo, cx.attempt());
        let hits = |entry: &&Entry| {
            entry.undo == undo && entry.step == step && entry.attempt.is_none_or(|only| only == attempt)
        };
        let fault = self.faults.iter().find(hits).map(|entry| entry.fault);
        if let Some(calls) = &self.calls {
            lock(calls).push(Call { step: cx.index, undo, fault });
        }
        fault
    }
}

impl Fault {
    /// What happens in place of the body; `Ok` where it is called.
    pub(crate) async fn before<E>(self) -> Result<(), Box<Cause<E>>> {
        match self {
            Self::Fail => Err(Box::new(Cause::Injected)),
            // Without the message that a panic prints: this one is on purpose.
            Self::Panic => std::panic::resume_unwind(Box::new("by a test")),
            Self::Hang => std::future::pending().await,
            Self::FailAfter | Self::Repeat => Ok(()),
        }
    }

    /// What becomes of the body's result.
    pub(crate) fn after<T, E>(self, result: Result<T, Box<Cause<E>>>) -> Result<T, Box<Cause<E>>> {
        if self == Self::FailAfter { result.and(Err(Box::new(Cause::Injected))) } else { result }
    }
}
