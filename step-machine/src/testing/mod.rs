//! What a workflow is tested with: faults on demand, all of them in turn, and the plan that older runs began with.

#[cfg(feature = "runner")]
mod case;
#[cfg(feature = "runner")]
mod crash;
#[cfg(feature = "runner")]
mod exhaust;
mod journal;
#[cfg(feature = "runner")]
mod mismatch;
mod resumable;

#[cfg(feature = "runner")]
pub use crate::faults::{Fault, Faults};
#[cfg(feature = "runner")]
pub use case::{Attempts, Case, Injection};
#[cfg(feature = "runner")]
pub use crash::{Crash, CrashError, CrashJournal, Crashed, Crashing, Death, crash_everywhere};
#[cfg(feature = "runner")]
pub use exhaust::{ExhaustError, Exhausted, exhaust, exhaust_within};
pub use journal::{BrokenRule, NotConforming, journal_conformance};
#[cfg(feature = "runner")]
pub use mismatch::Mismatch;
#[doc(hidden)]
pub use resumable::assert_resumable;
pub use resumable::{ResumableError, Update, resumable};
