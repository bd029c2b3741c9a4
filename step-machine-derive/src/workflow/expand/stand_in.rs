//! What takes the place of a generic enum, which cannot be a workflow: a plain one with the same steps.
//!
//! That the enum is generic has been reported; this keeps the code that drives it from adding errors of its own.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Generics, Ident};

use super::handler;
use crate::workflow::model::Workflow;

pub(super) fn generic(workflow: Workflow) -> TokenStream {
    let Workflow { ident, generics, vis, .. } = workflow.clone();
    let plain = Ident::new(&format!("{ident}__"), Span::call_site());
    let workflow = Workflow { ident: plain.clone(), generics: Generics::default(), ..workflow };
    let variants = workflow.steps.iter().map(|step| &step.ident);
    let krate = &workflow.krate;
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let code = super::plain(&workflow);
    let run = super::runner(handler::run, &workflow);
    quote! {
        #[allow(dead_code, non_camel_case_types)]
        #vis enum #plain { #(#variants,)* }
        #code
        #[automatically_derived]
        #[allow(dead_code)]
        impl #parameters #ident #arguments #bounds {
            #vis fn machine() -> #krate::MachineBuilder<#plain> {
                #krate::private::machine()
            }
            #run
        }
    }
}
