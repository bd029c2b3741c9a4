//! The model to code. Cannot fail.
//!
//! The generated module holds bare markers only, and every impl stands beside the enum: so a private enum needs no
//! public type, and an enum inside a function can be named.

mod handler;
mod markers;
mod order;
mod plan;
mod stand_in;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::model::{Step, Workflow};
use crate::names;

pub(crate) fn workflow(workflow: Workflow) -> TokenStream {
    if workflow.generics.params.is_empty() { plain(&workflow) } else { stand_in::generic(workflow) }
}

fn plain(workflow: &Workflow) -> TokenStream {
    let parts = [
        markers::module(workflow),
        plan::workflow_impl(workflow),
        plan::inherent_impl(workflow),
        markers::step_impls(workflow),
        order::impls(workflow),
        runner(handler::items, workflow),
    ];
    parts.into_iter().collect()
}

/// What only a library with the runner has a use for.
fn runner(part: fn(&Workflow) -> TokenStream, workflow: &Workflow) -> TokenStream {
    if cfg!(feature = "runner") { part(workflow) } else { TokenStream::new() }
}

/// The path of a step's marker.
fn marker(workflow: &Workflow, step: &Step) -> TokenStream {
    let (module, ident) = (&workflow.module, &step.ident);
    quote!(#module::#ident)
}

/// The name of the module with the places of a sequence. A step with that name is a fault; it gives way to it.
fn places(workflow: &Workflow) -> Ident {
    let taken = workflow.steps.iter().any(|step| names::plain(&step.ident) == "at");
    Ident::new(if taken { "at_" } else { "at" }, Span::call_site())
}
