//! How a run begins.

use std::fmt;
use std::marker::PhantomData;

use super::Machine;
use crate::journal::JournalError;
use crate::opening::{Found, Opening, Way};
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
    pub fn begin(mut self) -> Result<Machine<W, W::Start>, JournalError> {
        let found = if self.opening.watch.journal.is_some() {
            block_on(self.opening.find(W::plan()))?
        } else {
            Found::default()
        };
        Ok(Machine::new(self.opening.open::<W>(found, W::plan().into(), Way::Forward)?))
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
