//! Runs that are no business of the process that asked for them.

use step_machine::{Cause, Failure, JournalError, StepError, Workflow};

/// Whether the run is no business of this process: it was refused, and nothing was done, or it was taken over, and what
/// is there is another's.
pub fn is_refused<W: Workflow, E: StepError>(failure: &Failure<W, E>) -> bool {
    let cause = if let Cause::Journal(error) = failure.cause() { Some(error) } else { None };
    cause.into_iter().chain(failure.journal_error()).any(|error| match error {
        error if is_of_another(error) => true,
        // What cannot be written now may be later.
        JournalError::Write { .. } | JournalError::Store { .. } | JournalError::Closed => false,
        _ => failure.state().is_none(),
    })
}

/// Whether a journal says by `error` that somebody else drives the run, or one that keeps it away.
pub(super) fn is_of_another(error: &JournalError) -> bool {
    use JournalError::{Conflict, Exclusive, Owned, TakenOver};
    matches!(error, Owned { .. } | Exclusive { .. } | TakenOver { .. } | Conflict { .. })
}
