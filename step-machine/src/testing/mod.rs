//! What a workflow is tested with: faults on demand, and all of them in turn.

mod case;
mod exhaust;
mod mismatch;

pub use crate::faults::{Fault, Faults};
pub use case::{Attempts, Case, Injection};
pub use exhaust::{ExhaustError, Exhausted, exhaust, exhaust_within};
pub use mismatch::Mismatch;
