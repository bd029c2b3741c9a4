//! What other tools are told of a run: spans, metrics, and what its steps took.

mod collector;
mod metrics;
#[cfg(unix)]
mod resources;
mod scopes;
mod spans;
