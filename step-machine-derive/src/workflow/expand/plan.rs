//! The impl of `Workflow`, and the plan that it gives.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{handler, marker, order};
use crate::value::At;
use crate::workflow::model::{Retry, Step, Workflow};

pub(crate) fn workflow_impl(workflow: &Workflow) -> TokenStream {
    let (krate, ident, name) = (&workflow.krate, &workflow.ident, &workflow.name);
    let start = order::start(workflow);
    let plan = plan(workflow);
    let (depth, no_circle) = depth(workflow);
    let no_stalls = no_stalls(workflow);
    let variants = workflow.steps.iter().enumerate().map(|(index, step)| {
        let variant = &step.ident;
        quote!(Self::#variant { .. } => #index,)
    });
    let index = if workflow.steps.is_empty() {
        // Only an input with faults has no variants; the impl is there so that they are all that is reported.
        quote!(0)
    } else {
        quote!(match self { #(#variants)* })
    };
    let values = workflow.steps.iter().enumerate().filter(|(_, step)| !step.has_fields()).map(|(index, step)| {
        let variant = &step.ident;
        quote!(#index => ::core::option::Option::Some(Self::#variant),)
    });
    quote! {
        #[automatically_derived]
        impl #krate::Workflow for #ident {
            const NAME: &'static ::core::primitive::str = #name;
            #depth
            #no_stalls
            type Start = #start;

            fn plan() -> &'static #krate::Plan {
                static PLAN: ::std::sync::OnceLock<#krate::Plan> = ::std::sync::OnceLock::new();
                ::std::sync::OnceLock::get_or_init(&PLAN, || #plan)
            }

            #[inline]
            fn index(&self) -> ::core::primitive::usize {
                #index
            }

            #[inline]
            fn from_index(index: ::core::primitive::usize) -> ::core::option::Option<Self> {
                match index {
                    #(#values)*
                    _ => ::core::option::Option::None,
                }
            }
        }
        #no_circle
    }
}

/// That no step declares when it counts as stalled, where that is so.
fn no_stalls(workflow: &Workflow) -> Option<TokenStream> {
    let has_none = workflow.steps.iter().all(|step| step.stalled_after.is_none());
    has_none.then(|| {
        quote!(
            const STALLS: ::core::primitive::bool = false;
        )
    })
}

/// How deep the nested workflows go, and what asks for it: for a workflow that is nested in itself, by way of others,
/// the compiler has no answer. Its plan would have no end.
fn depth(workflow: &Workflow) -> (Option<TokenStream>, Option<TokenStream>) {
    let (krate, ident) = (&workflow.krate, &workflow.ident);
    let mut nested = workflow.steps.iter().filter_map(|step| Some((step, step.nested.as_ref()?))).peekable();
    let Some(place) = nested.peek().map(|(_, path)| Span::call_site().located_at(path.span())) else {
        return (None, None);
    };
    let number = quote!(::core::primitive::usize);
    let depth = nested.fold(quote!(0), |others, (step, _)| {
        let marker = marker(workflow, step);
        quote!(#krate::private::depth::<#marker>(#others))
    });
    (
        Some(quote_spanned!(place=> const DEPTH: #number = #depth;)),
        Some(quote!(const _: #number = <#ident as #krate::Workflow>::DEPTH;)),
    )
}

pub(crate) fn inherent_impl(workflow: &Workflow) -> TokenStream {
    let (krate, ident, vis) = (&workflow.krate, &workflow.ident, &workflow.vis);
    let doc =
        format!("Begins a run of `{ident}` that you drive step by step: say what it is to be like, then `.begin()`.");
    let run = super::runner(handler::run, workflow);
    quote! {
        #[automatically_derived]
        #[allow(dead_code)]
        impl #ident {
            #[doc = #doc]
            #vis fn machine() -> #krate::MachineBuilder<Self> {
                #krate::private::machine()
            }
            #run
        }
    }
}

fn plan(workflow: &Workflow) -> TokenStream {
    let (krate, name, parallel) = (&workflow.krate, &workflow.name, workflow.parallel);
    let description = workflow.doc.join("\n");
    let steps = workflow.steps.iter().map(|step| self::step(workflow, step));
    let on_failure = workflow.rollback.map(|_| quote!(plan.on_failure = #krate::OnFailure::Rollback;));
    let deadline = optional_duration(workflow.deadline.as_ref(), &quote!(plan.deadline));
    quote! {{
        let mut plan = #krate::Plan::new(#name, ::std::vec![#(#steps),*]);
        #krate::private::describe(&mut plan, #description, #parallel);
        #on_failure
        #deadline
        plan
    }}
}

/// A step with the rules that differ from the defaults; an expression as small as the rules are.
fn step(workflow: &Workflow, step: &Step) -> TokenStream {
    let (krate, id, name) = (&workflow.krate, &step.id.value, &step.name);
    let description = step.doc.join("\n");
    let alias = step.alias.as_ref().map(|alias| {
        let alias = &alias.value;
        quote!(#krate::private::push(&mut step.aliases, #alias);)
    });
    let needs = workflow.needs(step).into_iter().map(|need| {
        let need = &workflow.steps[need].id.value;
        quote!(#krate::private::push(&mut step.needs, #need);)
    });
    let flag = |set: bool, field: TokenStream, value: bool| set.then(|| quote!(step.#field = #value;));
    let critical = flag(!step.critical, quote!(critical), false);
    let skippable = flag(step.skippable, quote!(skippable), true);
    let undo = flag(step.has_undo(), quote!(undo), true);
    let output = flag(step.output.is_some(), quote!(output), true);
    let secret = flag(step.secret.is_some(), quote!(secret), true);
    let retry = step.retry.as_ref().map(|retry| self::retry(workflow, retry));
    let timeout = optional_duration(step.timeout.as_ref(), &quote!(step.timeout));
    let deadline = optional_duration(step.deadline.as_ref(), &quote!(step.deadline));
    let stalled_after = optional_duration(step.stalled_after.as_ref(), &quote!(step.stalled_after));
    let weight = step.weight.as_ref().map(|weight| {
        let weight = weight.value;
        quote!(step.weight = #weight;)
    });
    let nested = step.nested.as_ref().map(|_| {
        let marker = marker(workflow, step);
        quote!(#krate::private::nest(&mut step, #marker);)
    });
    let rules: TokenStream = [alias]
        .into_iter()
        .chain(needs.map(Some))
        .chain([critical, skippable, undo, output, secret, retry, timeout, deadline, stalled_after, weight, nested])
        .flatten()
        .collect();
    let new = quote!(#krate::private::step(#id, #name, #description));
    if rules.is_empty() {
        return new;
    }
    quote! {{
        let mut step = #new;
        #rules
        step
    }}
}

fn retry(workflow: &Workflow, retry: &Retry) -> TokenStream {
    let krate = &workflow.krate;
    let attempts = retry.attempts.as_ref().map_or(1, |attempts| attempts.value);
    let delay = retry.delay.as_ref().map(|delay| {
        let delay = duration(delay.value);
        quote!(.delay(#delay))
    });
    let max_delay = retry.max_delay.as_ref().map(|max| {
        let max = duration(max.value);
        quote!(.max_delay(#max))
    });
    let factor = retry.factor.as_ref().map(|factor| {
        let factor = factor.value;
        quote!(.factor(#factor))
    });
    let jitter = retry.jitter.as_ref().map(|jitter| {
        let jitter = jitter.value;
        quote!(.jitter(#jitter))
    });
    quote!(step.retry = ::core::option::Option::Some(#krate::Retry::new(#attempts)#delay #max_delay #factor #jitter);)
}

fn optional_duration(value: Option<&At<Duration>>, field: &TokenStream) -> Option<TokenStream> {
    let duration = duration(value?.value);
    Some(quote!(#field = ::core::option::Option::Some(#duration);))
}

fn duration(duration: Duration) -> TokenStream {
    // The reader has refused what does not fit.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_nanos(#nanos))
}
