//! How a run begins.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::Machine;
use crate::journal::{Journal, JournalError};
use crate::observe::Observer;
use crate::opening::{Opening, Way};
use crate::run_id::RunId;
use crate::time::Clock;
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

    /// Sets the id of the run. Without one a new id is generated, and the run is a new one.
    pub fn id(mut self, id: impl Into<RunId>) -> Self {
        self.opening.id = Some(id.into());
        self
    }

    /// Adds a label: who started the run, for which ticket, and the like.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.opening.labels.push((key.into(), value.into()));
        self
    }

    /// Records what the run works on. A value that cannot be JSON is recorded as the error that says why.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.opening.set_input(input);
        self
    }

    /// Keeps the run in `journal`: under an id that it has, the run goes on where it was.
    pub fn journal(mut self, journal: impl Journal + 'static) -> Self {
        self.opening.watch.journal = Some(Arc::new(journal));
        self
    }

    /// Shows the run's events to `observer`; may be called several times.
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        self.opening.watch.observers.add(observer);
        self
    }

    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.opening.watch.clock = Some(Arc::new(clock));
        self
    }

    /// Begins the run, or goes on with it where the journal has one under this id.
    ///
    /// A run that has completed is replayed: no body is called, and the recorded outputs are handed out.
    pub fn begin(self) -> Result<Machine<W, W::Start>, JournalError> {
        Ok(Machine::new(self.opening.open::<W>(W::plan().into(), Way::Forward)?))
    }
}

impl<W> fmt::Debug for MachineBuilder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineBuilder")
            .field("id", &self.opening.id)
            .field("labels", &self.opening.labels)
            .finish_non_exhaustive()
    }
}
