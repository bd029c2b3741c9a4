//! What every journal has to keep to, as checks that any journal can be put through.

mod appends;
mod claims;
mod queries;
mod removals;
mod scene;

use std::fmt;

use crate::journal::Journal;
use scene::Outcome;

/// A rule in words, and what tries it on a journal that is empty.
type Rule = (&'static str, fn(&dyn Journal) -> Outcome);

/// Tries every rule of [`Journal`] on journals that `make` gives: each time another one that is empty.
///
/// What a journal does when a process dies is its own: no rule here asks for that.
///
/// # Errors
///
/// Names each rule that was broken, and how.
///
/// # Examples
///
/// ```
/// use step_machine::MemoryJournal;
/// use step_machine::testing::journal_conformance;
///
/// journal_conformance(MemoryJournal::new)?;
/// # Ok::<(), step_machine::testing::NotConforming>(())
/// ```
pub fn journal_conformance<J: Journal>(make: impl Fn() -> J) -> Result<(), NotConforming> {
    let rules = [appends::RULES, claims::RULES, queries::RULES, removals::RULES].concat();
    let broken: Vec<BrokenRule> = rules
        .into_iter()
        .filter_map(|(rule, holds)| holds(&make()).err().map(|broken| BrokenRule { rule, how: broken.0 }))
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(NotConforming { broken }) }
}

/// The rules that a journal does not keep to.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotConforming {
    /// One at least.
    pub broken: Vec<BrokenRule>,
}

/// A rule that a journal does not keep to.
#[derive(Debug)]
#[non_exhaustive]
pub struct BrokenRule {
    /// The rule.
    pub rule: &'static str,
    /// What the journal did instead.
    pub how: String,
}

impl fmt::Display for NotConforming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal breaks {} of the rules for journals:", self.broken.len())?;
        self.broken.iter().try_for_each(|BrokenRule { rule, how }| write!(f, "\n- {rule}: {how}"))
    }
}

impl std::error::Error for NotConforming {}
