//! Which step may run where: the impls that the compiler checks the order with.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::{marker, places};
use crate::workflow::model::Workflow;

pub(crate) fn impls(workflow: &Workflow) -> TokenStream {
    if workflow.parallel { parallel(workflow) } else { sequential(workflow) }
}

/// Where a run starts.
pub(crate) fn start(workflow: &Workflow) -> TokenStream {
    let krate = &workflow.krate;
    if workflow.parallel {
        let slots = workflow.steps.iter().map(|step| {
            let marker = marker(workflow, step);
            quote!(#krate::Todo<#marker>)
        });
        quote!((#(#slots,)*))
    } else {
        place(workflow, 0)
    }
}

/// The place of a sequence where the step at `index` is next.
fn place(workflow: &Workflow, index: usize) -> TokenStream {
    let (krate, module) = (&workflow.krate, &workflow.module);
    match workflow.steps.get(index) {
        Some(step) => {
            let (at, ident) = (places(workflow), &step.ident);
            quote!(#module::#at::#ident)
        }
        None => quote!(#krate::End),
    }
}

fn sequential(workflow: &Workflow) -> TokenStream {
    let krate = &workflow.krate;
    let impls = workflow.steps.iter().enumerate().map(|(index, step)| {
        let marker = marker(workflow, step);
        let (at, next) = (place(workflow, index), place(workflow, index + 1));
        quote! {
            #[automatically_derived]
            impl #krate::RunsAt<#at> for #marker {
                type Next = #next;
            }
        }
    });
    impls.collect()
}

/// One slot for each step: a step runs while its own is `Todo` and those of what it needs are `Done`.
fn parallel(workflow: &Workflow) -> TokenStream {
    let (krate, ident) = (&workflow.krate, &workflow.ident);
    let slots: Vec<_> = (0..workflow.steps.len()).map(|index| format_ident!("Slot{index}")).collect();
    let done: Vec<_> = workflow
        .steps
        .iter()
        .map(|step| {
            let marker = marker(workflow, step);
            quote!(#krate::Done<#marker>)
        })
        .collect();
    let impls = workflow.steps.iter().enumerate().map(|(index, step)| {
        let marker = marker(workflow, step);
        let needs = workflow.needs(step);
        let slot = |other: usize, own: &TokenStream| {
            let free = &slots[other];
            if other == index {
                own.clone()
            } else if needs.contains(&other) {
                done[other].clone()
            } else {
                quote!(#free)
            }
        };
        let before = (0..slots.len()).map(|other| slot(other, &quote!(#krate::Todo<#marker>)));
        let after = (0..slots.len()).map(|other| slot(other, &done[index]));
        let free =
            (0..slots.len()).filter(|other| *other != index && !needs.contains(other)).map(|other| &slots[other]);
        quote! {
            #[automatically_derived]
            impl<#(#free),*> #krate::RunsAt<(#(#before,)*)> for #marker {
                type Next = (#(#after,)*);
            }
        }
    });
    let impls: TokenStream = impls.collect();
    quote! {
        #impls
        #[automatically_derived]
        impl #krate::Finished<#ident> for (#(#done,)*) {}
    }
}
