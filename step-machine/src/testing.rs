//! What a workflow is tested with: faults on demand, and all of them in turn.

pub use crate::faults::{Fault, Faults};
