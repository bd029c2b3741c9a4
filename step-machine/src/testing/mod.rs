//! What a workflow is tested with: faults on demand, and all of them in turn.

mod faults;

pub use faults::{Fault, Faults};
