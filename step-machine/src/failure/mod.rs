//! What is known when a run does not complete.

mod context;
mod error;
mod story;

pub use context::{ContextError, FailureContext};
pub use error::{Cause, StepError};

pub(crate) use context::{abandoned, failed_step, halted, outside, refused};
#[cfg(feature = "runner")]
pub(crate) use context::{cancelled, earlier};
pub(crate) use error::{advice, error_record, whole_text};
pub(crate) use story::short;
