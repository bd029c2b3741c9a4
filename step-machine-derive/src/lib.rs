//! The derives of `step-machine`. Use them through that crate, which re-exports them with their documentation.
//!
//! Both derives have the same three stages, and arrows between them point one way:
//!
//! 1. `attr`: attribute text to keys and values, each with its place in the source.
//! 2. `model`: keys and values to a resolved, validated description. Every fault is collected, and the model is made as
//!    good as it can be, so that a broken enum still gets its impls and the user sees only the real errors.
//! 3. `expand`: the model to code. It cannot fail.

mod attr;
mod diagnostics;
mod names;
mod split;
mod step_error;
mod value;
mod workflow;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes an enum a workflow: one step for each variant. See the attributes page of `step-machine`.
#[proc_macro_derive(Workflow, attributes(workflow, step))]
pub fn derive_workflow(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    workflow::derive(&input).into()
}

/// Makes an error classify itself. See the attributes page of `step-machine`.
#[proc_macro_derive(StepError, attributes(step_error))]
pub fn derive_step_error(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    step_error::derive(&input).into()
}
