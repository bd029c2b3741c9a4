//! What a step has to know of the runs that its body nests, whatever the body makes of their failures.

use super::StepContext;
use crate::journal::JournalError;

/// A run inside that ended for a reason which is not the step's own.
#[derive(Debug)]
pub(crate) struct Inside {
    /// Which of the runs that the body nests.
    name: String,
    why: Why,
}

/// Why a run inside ended that did not fail by itself.
#[derive(Debug)]
pub(crate) enum Why {
    /// The whole is to stop.
    Stopped,
    /// What the journal has of it cannot be read, or does not fit.
    Unfit(JournalError),
}

impl StepContext {
    /// Notes how a run inside ended: the last word on each of them counts.
    pub(crate) fn note_inside(&mut self, name: String, why: Option<Why>) {
        match why {
            Some(why) => self.inside = Some(Box::new(Inside { name, why })),
            None => drop(self.inside.take_if(|inside| inside.name == name)),
        }
    }

    /// Why the run inside ended that was noted last, once.
    pub(crate) fn take_inside(&mut self) -> Option<Why> {
        self.inside.take().map(|inside| inside.why)
    }
}
