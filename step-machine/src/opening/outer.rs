//! A run that is nested in another one: whoever holds that one is the only one to drive it.

use super::Opening;
use crate::journal::{Append, Claim, Claimed, Claiming, JournalError, Lease, Waiting};

/// The run that another one is nested in.
pub(crate) struct Outer {
    /// The right to write to it.
    pub(crate) lease: Lease,
    /// Whether nothing speaks against the nested run's being a part of it.
    pub(crate) is_part: bool,
}

impl Opening {
    /// Claims a nested run by force that somebody else drives: he drove the outer run too, and has lost that. The names
    /// that it needs for itself are no part of the outer run, and are taken from nobody.
    pub(super) async fn insist(
        &self,
        claim: &Claim,
        claimed: Result<Claimed, JournalError>,
    ) -> Result<Claimed, JournalError> {
        let is_part = self.outer().is_some_and(|outer| outer.is_part);
        let (Err(JournalError::Owned { .. }), Some(journal), true) = (&claimed, &self.watch.journal, is_part) else {
            return claimed;
        };
        // Who has lost the outer run takes nothing from its new owner.
        self.check_outer().await?;
        let force = Claim { take_over: true, ..Claim::of(claim.run.clone()) };
        let forced = Claiming::new(journal.clone(), &force).await?;
        if claim.exclusive.is_empty() {
            return Ok(forced);
        }
        journal.release(&forced.lease).await?;
        Claiming::new(journal.clone(), claim).await
    }

    /// Fails where the outer run is somebody else's by now.
    pub(super) async fn check_outer(&self) -> Result<(), JournalError> {
        let (Some(journal), Some(outer)) = (&self.watch.journal, self.outer()) else { return Ok(()) };
        let mut append = Append::new(&outer.lease, &[]);
        append.waiting = Waiting::Sibling;
        let asked = journal.append(append);
        asked.await
    }

    fn outer(&self) -> Option<&Outer> {
        self.more.as_ref()?.outer.as_ref()
    }
}
