//! It drives: the runner takes a run from its first step to its end, on tokio.
//!
//! What is decided (what is ready, whether to try again, what to undo) are functions of the plan and the folded state,
//! in `ready`, `policy` and [`RunState`](crate::RunState); timers, tasks and bodies are in the other files.

mod attempt;
mod builder;
mod course;
mod crew;
mod drive;
mod handler;
mod nested;
mod ready;
mod rollback;
mod signals;
mod stall;
#[cfg(test)]
mod walks;

pub use builder::{NotSkippable, Runner};
pub use handler::{BoxFuture, Dispatch, HandlerFor, Result};

#[doc(hidden)]
pub use nested::{nested, undo_nested};
