//! What other tools are told of a run: spans, metrics, and what its steps took.

mod collector;
mod scopes;
mod spans;
