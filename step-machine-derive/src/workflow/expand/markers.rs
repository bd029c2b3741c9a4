//! The marker types: one for each step, and one for each place in a sequence.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Visibility, parse_quote};

use super::{marker, places};
use crate::workflow::model::{Step, Workflow};

pub(crate) fn module(workflow: &Workflow) -> TokenStream {
    let (vis, module, ident) = (&workflow.vis, &workflow.module, &workflow.ident);
    let (inner, innermost) = (deeper(vis), deeper(&deeper(vis)));
    let steps = workflow.steps.iter().map(|step| {
        let (name, doc) = (&step.ident, step_doc(workflow, step));
        quote!(#[doc = #doc] #inner struct #name;)
    });
    let at = places(workflow);
    let places = workflow.steps.iter().filter(|_| !workflow.parallel).map(|step| {
        let name = &step.ident;
        let doc = format!("[`{name}`](super::{name}) is the next step.");
        quote!(#[doc = #doc] #innermost struct #name;)
    });
    let doc = format!("The steps of [`{ident}`] as types, one for each variant.");
    quote! {
        #[doc = #doc]
        #[allow(dead_code, non_camel_case_types, unreachable_pub)]
        #vis mod #module {
            #(#steps)*
            #[doc = "The places where a run can be."]
            #inner mod #at {
                #(#places)*
            }
        }
    }
}

fn step_doc(workflow: &Workflow, step: &Step) -> String {
    let mut doc = step.doc.join("\n");
    if !doc.is_empty() {
        doc.push_str("\n\n");
    }
    doc + &format!("The step `{}::{}` as a type.", workflow.ident, step.ident)
}

/// What `vis` is called one module further in.
fn deeper(vis: &Visibility) -> Visibility {
    match vis {
        Visibility::Inherited => parse_quote!(pub(super)),
        Visibility::Restricted(restricted) => {
            let path = &restricted.path;
            match path.segments.first() {
                Some(first) if first.ident == "self" => parse_quote!(pub(super)),
                Some(first) if first.ident == "super" => parse_quote!(pub(in super::#path)),
                _ => vis.clone(),
            }
        }
        Visibility::Public(_) => vis.clone(),
    }
}

pub(crate) fn step_impls(workflow: &Workflow) -> TokenStream {
    workflow.steps.iter().map(|step| step_impl(workflow, step)).collect()
}

fn step_impl(workflow: &Workflow, step: &Step) -> TokenStream {
    let (krate, ident, variant) = (&workflow.krate, &workflow.ident, &step.ident);
    let marker = marker(workflow, step);
    let output = step.output.as_ref().map_or_else(|| quote!(()), |output| quote!(#output));
    let rule = rule(step);
    let value = if step.has_fields() { quote!(::core::panic!()) } else { quote!(#ident::#variant) };
    let skippable = step.skippable.then(|| {
        quote! {
            #[automatically_derived]
            impl #krate::Skippable for #marker {}
        }
    });
    let nesting = step.nested.as_ref().map(|inner| {
        quote! {
            #[automatically_derived]
            impl #krate::private::Nesting for #marker {
                type Inner = #inner;
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #krate::Step for #marker {
            type Workflow = #ident;
            type Output = #output;
            type Rule = #krate::rule::#rule;
            const STEP: #ident = #value;
        }
        #skippable
        #nesting
    }
}

/// The name of the library's rule for what the step returns.
fn rule(step: &Step) -> TokenStream {
    match (step.critical, step.output.is_some()) {
        (true, false) => quote!(Critical),
        (true, true) if step.skippable => quote!(CriticalMaybe),
        (true, true) => quote!(CriticalOutput),
        (false, false) => quote!(NonCritical),
        (false, true) => quote!(NonCriticalOutput),
    }
}
