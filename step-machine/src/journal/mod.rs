//! Where the events of runs are kept.

mod error;
mod memory;

pub use error::{BoxError, JournalError};
pub use memory::MemoryJournal;

use crate::event::Event;
use crate::run_id::RunId;

/// A store of events, run by run, that only ever grows.
///
/// # What an implementation keeps to
///
/// - [`append`](Self::append) returns when the events are as durable as the store makes them, all of them or none.
/// - The numbers of a run's events go up by one from 1; an append that does not fit is refused with
///   [`JournalError::Conflict`].
/// - [`load`](Self::load) gives the events in that order, all of them, or an error; it never skips one it cannot read.
///
/// # Examples
///
/// ```
/// use step_machine::{Journal, MemoryJournal};
///
/// let journal = MemoryJournal::new();
/// assert!(journal.load(&"web-42".into())?.is_empty());
/// # Ok::<(), step_machine::JournalError>(())
/// ```
pub trait Journal: Send + Sync {
    /// Adds events to the end of a run.
    fn append(&self, run: &RunId, events: &[Event]) -> Result<(), JournalError>;

    /// All events of a run in order; none for a run that the journal does not have.
    fn load(&self, run: &RunId) -> Result<Vec<Event>, JournalError>;

    /// The runs that the journal has, in any order.
    fn runs(&self) -> Result<Vec<RunId>, JournalError>;
}

impl<J: Journal + ?Sized> Journal for Box<J> {
    fn append(&self, run: &RunId, events: &[Event]) -> Result<(), JournalError> {
        (**self).append(run, events)
    }

    fn load(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        (**self).load(run)
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        (**self).runs()
    }
}

impl<J: Journal + ?Sized> Journal for std::sync::Arc<J> {
    fn append(&self, run: &RunId, events: &[Event]) -> Result<(), JournalError> {
        (**self).append(run, events)
    }

    fn load(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        (**self).load(run)
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        (**self).runs()
    }
}
