//! How a run begins.

use std::fmt;
use std::marker::PhantomData;

use super::Machine;
use crate::failure::StepError;
use crate::journal::JournalError;
use crate::opening::{Found, Opening, Start, Way};
use crate::recorder::Recorder;
use crate::report::Failure;
use crate::sync::block_on;
use crate::workflow::Workflow;

/// What a run is to be like; everything is optional. From `YourEnum::machine()`.
///
/// # Examples
///
/// ```
/// use step_machine::{MemoryJournal, Workflow, observe::callbacks};
///
/// #[derive(Workflow)]
/// enum Deploy { Start }
///
/// let run = Deploy::machine()
///     .id("shop-7")
///     .label("ticket", "OPS-12")
///     .journal(MemoryJournal::new())
///     .observe(callbacks().on_any(|event| println!("{}", event.event_type())))
///     .begin()?;
/// # drop(run);
/// # Ok::<(), step_machine::JournalError>(())
/// ```
#[must_use = "nothing begins before `begin`"]
pub struct MachineBuilder<W> {
    opening: Opening,
    workflow: PhantomData<fn() -> W>,
}

impl<W: Workflow> MachineBuilder<W> {
    pub(crate) fn new() -> Self {
        Self { opening: Opening::default(), workflow: PhantomData }
    }

    crate::opening::setters!();

    /// Begins the run, or goes on with it where the journal has one under this id.
    ///
    /// A run that has completed is replayed: no body is called, and the recorded outputs are handed out.
    ///
    /// Goes only forward: a run that is stuck, or was cut off while it was rolled back, is refused with
    /// [`JournalError::Over`]; see [`begin_rollback`](Self::begin_rollback).
    pub fn begin(self) -> Result<Machine<W, W::Start>, JournalError> {
        Ok(Machine::new(self.open(Way::Forward)?))
    }

    /// Takes back what the run of this id did, in a process that does not have its [`Failure`]: goes on with a rollback
    /// that was cut off or is stuck, or begins one where the run failed, was cancelled or was left where it was.
    ///
    /// What comes back says what stopped the run, of which only the record is left ([`Cause::Earlier`](crate::Cause::Earlier)). Its
    /// [`rollback`](Failure::rollback) undoes what is not undone yet, and [`skip_undo`](Failure::skip_undo) leaves one
    /// out. Whether that is called or not, the run goes only backwards from here on.
    ///
    /// Fails with [`JournalError::NotFound`] where the journal does not have the run, and with [`JournalError::Over`]
    /// where it completed or was rolled back.
    ///
    /// # Examples
    ///
    /// ```
    /// use step_machine::{Cause, Failure, MemoryJournal, StepContext, Workflow, event::RunStatus};
    ///
    /// #[derive(Workflow)]
    /// #[workflow(on_failure = "rollback")]
    /// enum Provision {
    ///     #[step(undo)]
    ///     Apply,
    ///     Check,
    /// }
    /// use provision::*;
    ///
    /// let journal = MemoryJournal::new();
    /// let machine = || Provision::machine().journal(journal.clone()).id("web-42");
    /// let run = machine().begin()?.step(Apply, |_| Ok::<(), std::io::Error>(()))?;
    /// let failure = run.step(Check, |_| Err(std::io::Error::other("no answer"))).err().expect("it failed");
    /// let locked = |_, _: &mut StepContext| Err(std::io::Error::other("the state is locked"));
    /// drop(failure.rollback(locked));
    ///
    /// // Later, in another process.
    /// let failure: Failure<_, std::io::Error> = machine().begin_rollback()?;
    /// assert!(matches!(failure.cause(), Cause::Earlier { error } if error.message == "no answer"));
    /// let failure = failure.rollback(|_, _| Ok::<(), std::io::Error>(()));
    /// assert_eq!(failure.state().unwrap().status(), RunStatus::RolledBack);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin_rollback<E: StepError>(mut self) -> Result<Failure<W, E>, JournalError> {
        self.opening.start = Start::Kept;
        Ok(Failure::earlier(self.open(Way::Back)?))
    }

    fn open(mut self, way: Way) -> Result<Box<Recorder>, JournalError> {
        let found = match self.opening.watch.journal {
            Some(_) => block_on(self.opening.find(W::plan(), way))?,
            None => Found::default(),
        };
        self.opening.open::<W>(found, W::plan().into(), way)
    }
}

impl<W> fmt::Debug for MachineBuilder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineBuilder")
            .field("id", &self.opening.id)
            .field("labels", &self.opening.labels())
            .finish_non_exhaustive()
    }
}
