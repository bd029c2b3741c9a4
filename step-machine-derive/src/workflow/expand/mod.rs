//! The model to code. Cannot fail.
//!
//! The generated module holds bare markers only, and every impl stands beside the enum: so a private enum needs no
//! public type, and an enum inside a function can be named.

mod markers;
mod order;
mod plan;

use proc_macro2::TokenStream;
use quote::quote;

use super::model::{Step, Workflow};

pub(crate) fn workflow(workflow: &Workflow) -> TokenStream {
    let parts = [
        markers::module(workflow),
        plan::workflow_impl(workflow),
        plan::inherent_impl(workflow),
        markers::step_impls(workflow),
        order::impls(workflow),
    ];
    parts.into_iter().collect()
}

/// The path of a step's marker.
fn marker(workflow: &Workflow, step: &Step) -> TokenStream {
    let (module, ident) = (&workflow.module, &step.ident);
    quote!(#module::#ident)
}
