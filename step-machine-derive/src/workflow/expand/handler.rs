//! The trait with a method for each step, and what calls its methods by the position of the step.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Path, Type};

use super::marker;
use crate::names;
use crate::workflow::model::{Step, Workflow};

/// What a method of the handler is for.
#[derive(Clone, Copy)]
enum Task<'a> {
    Run,
    /// Gives the handler of the workflow inside.
    Nest(&'a Path),
    Undo,
    Skip,
}

/// A method of the handler.
struct Method<'a> {
    name: Ident,
    task: Task<'a>,
    index: usize,
    step: &'a Step,
}

pub(crate) fn items(workflow: &Workflow) -> TokenStream {
    let methods = methods(workflow);
    let mut code = declaration(workflow, &methods);
    code.extend(dispatch(workflow, &methods));
    code
}

/// The function that begins a run which the runner drives.
pub(crate) fn run(workflow: &Workflow) -> TokenStream {
    let Workflow { krate, vis, handler, .. } = workflow;
    let ident = generated(&workflow.ident);
    let doc =
        format!("Runs `{ident}` with a handler, `&handler` or an `Arc` of it: a type that implements [`{handler}`].");
    quote! {
        #[doc = #doc]
        #vis fn run<'h, P: #krate::runner::HandlerFor<#ident> + 'h>(handler: P) -> #krate::runner::Runner<'h, #ident, P> {
            #krate::private::runner(handler)
        }
    }
}

/// The name as that of something generated: where it stood in the source the compiler would suggest type parameters.
fn generated(ident: &Ident) -> Ident {
    let mut generated = ident.clone();
    generated.set_span(Span::call_site());
    generated
}

/// Where the compiler points when it speaks of what stands for `ident`.
fn place(ident: &Ident) -> Span {
    Span::call_site().located_at(ident.span())
}

/// Each name once: that two steps would have a method in common is a fault, and reported.
fn methods(workflow: &Workflow) -> Vec<Method<'_>> {
    let mut taken = HashSet::new();
    let all = workflow.steps.iter().enumerate().flat_map(|(index, step)| {
        let run = step.nested.as_ref().map_or(Task::Run, Task::Nest);
        let tasks = [Some(run), step.has_undo().then_some(Task::Undo), step.skippable.then_some(Task::Skip)];
        tasks.into_iter().flatten().map(move |task| Method { name: name(step, task), task, index, step })
    });
    all.filter(|method| taken.insert(method.name.to_string())).collect()
}

fn name(step: &Step, task: Task<'_>) -> Ident {
    let words = names::snake(&step.ident);
    let name = match task {
        Task::Run | Task::Nest(_) => words,
        Task::Undo => format!("undo_{words}"),
        Task::Skip => format!("skip_{words}"),
    };
    names::ident(&name, step.ident.span())
}

/// The trait itself.
fn declaration(workflow: &Workflow, methods: &[Method<'_>]) -> TokenStream {
    let Workflow { krate, ident, vis, .. } = workflow;
    let handler = generated(&workflow.handler);
    let methods = methods.iter().map(|method| method.declaration(workflow));
    let doc = format!("What the steps of [`{ident}`] do: a method for each, which `{ident}::run` calls.");
    quote! {
        #[doc = #doc]
        #[allow(dead_code, private_bounds, private_interfaces, unreachable_pub, clippy::ptr_arg)]
        #vis trait #handler: ::core::marker::Send + ::core::marker::Sync {
            #[doc = "What the methods fail with."]
            type Error: #krate::StepError;
            #(#methods)*
        }
    }
}

impl Method<'_> {
    fn declaration(&self, workflow: &Workflow) -> TokenStream {
        let (name, doc) = (&self.name, self.doc(workflow));
        let (parameters, returns) = (self.parameters(workflow), self.returns(workflow));
        let place = place(&self.step.ident);
        if !matches!(self.task, Task::Skip) {
            return quote_spanned!(place=> #[doc = #doc] fn #name(#parameters) -> #returns;);
        }
        quote_spanned! {place=>
            #[doc = #doc]
            fn #name(#parameters) -> #returns {
                let _ = cx;
                ::core::future::ready(::core::result::Result::Ok(::core::option::Option::None))
            }
        }
    }

    /// The outputs that the method is given.
    fn given<'a>(&'a self, workflow: &'a Workflow) -> Vec<Given<'a>> {
        match self.task {
            Task::Run | Task::Nest(_) => needs(workflow, self.step),
            Task::Undo => Given::own(self.step).into_iter().collect(),
            Task::Skip => Vec::new(),
        }
    }

    fn parameters(&self, workflow: &Workflow) -> TokenStream {
        let krate = &workflow.krate;
        let given = self.given(workflow);
        // Of a wrong number of parameters the compiler shows all from the first to the last: all in one place then.
        let place = given.last().map_or_else(|| place(&self.step.ident), Given::place);
        let context = match self.task {
            Task::Nest(_) => TokenStream::new(),
            Task::Run | Task::Undo | Task::Skip => quote_spanned!(place=> cx: &mut #krate::StepContext,),
        };
        let given = given.iter().map(Given::parameter);
        quote_spanned!(place=> &self, #context #(#given),*)
    }

    fn returns(&self, workflow: &Workflow) -> TokenStream {
        let place = place(&self.step.ident);
        let output = match (self.task, &self.step.output) {
            (Task::Nest(inner), _) => return nested_handler(workflow, inner),
            (Task::Run, Some(output)) => quote!(#output),
            (Task::Skip, _) => quote_spanned!(place=> ::core::option::Option<::std::string::String>),
            (Task::Run, None) | (Task::Undo, _) => quote_spanned!(place=> ()),
        };
        let result = quote_spanned!(place=> ::core::result::Result<#output, Self::Error>);
        quote_spanned!(place=> impl ::core::future::Future<Output = #result> + ::core::marker::Send)
    }

    fn doc(&self, workflow: &Workflow) -> String {
        let step = format!("[`{0}::{1}`]({0}::{1})", workflow.ident, self.step.ident);
        match self.task {
            Task::Run => self.step_doc(&format!("The body of the step {step}.")),
            Task::Nest(_) => {
                self.step_doc(&format!("The handler of the workflow that runs inside of the step {step}."))
            }
            Task::Undo if self.step.output.is_some() => {
                format!("Takes back what the step {step} did; `output` is what it handed on, where it completed.")
            }
            Task::Undo => format!("Takes back what the step {step} did."),
            Task::Skip => format!("Whether the step {step} is to be skipped: `Some(why)` skips it."),
        }
    }

    /// The documentation of the step with a line of its own.
    fn step_doc(&self, line: &str) -> String {
        let mut doc = self.step.doc.join("\n");
        if !doc.is_empty() {
            doc.push_str("\n\n");
        }
        doc + line
    }
}

/// What gives the handler of a nested workflow; all of it where that is named.
fn nested_handler(workflow: &Workflow, inner: &Path) -> TokenStream {
    let place = Span::call_site().located_at(inner.span());
    let krate = respanned(workflow.krate.to_token_stream(), place);
    quote_spanned!(place=> impl #krate::runner::HandlerFor<#inner>)
}

fn respanned(tokens: TokenStream, place: Span) -> TokenStream {
    let at_place = |mut token: TokenTree| {
        token.set_span(place);
        token
    };
    tokens.into_iter().map(at_place).collect()
}

/// The outputs that are handed to `step`, in the order in which it needs them.
fn needs<'a>(workflow: &'a Workflow, step: &Step) -> Vec<Given<'a>> {
    let mut taken = HashSet::new();
    let needs = workflow.needs(step).into_iter().filter_map(|need| Given::need(&workflow.steps[need]));
    // That a step is needed twice, or has the name of another one, is a fault, and reported.
    needs.filter(|given| taken.insert(given.name.clone())).collect()
}

/// The output of a step that a method is given.
struct Given<'a> {
    name: String,
    step: &'a Step,
    output: &'a Type,
    /// There may be none.
    optional: bool,
}

impl<'a> Given<'a> {
    /// What an earlier step hands to a later one.
    fn need(step: &'a Step) -> Option<Self> {
        let words = names::snake(&step.ident);
        // The context is there already.
        let name = if words == "cx" { "cx_".to_owned() } else { words };
        Some(Self { name, step, output: step.output.as_ref()?, optional: step.skippable || !step.critical })
    }

    /// What a step hands to its own undo.
    fn own(step: &'a Step) -> Option<Self> {
        Some(Self { name: "output".to_owned(), step, output: step.output.as_ref()?, optional: true })
    }

    fn place(&self) -> Span {
        Span::call_site().located_at(self.output.span())
    }

    fn parameter(&self) -> TokenStream {
        let (place, output) = (self.place(), self.output);
        let name = names::ident(&self.name, place);
        let reference = quote_spanned!(place=> &#output);
        if self.optional {
            quote_spanned!(place=> #name: ::core::option::Option<#reference>)
        } else {
            quote_spanned!(place=> #name: #reference)
        }
    }
}

/// What calls the methods by the position of the step.
fn dispatch(workflow: &Workflow, methods: &[Method<'_>]) -> TokenStream {
    let (krate, ident, handler) = (&workflow.krate, &workflow.ident, generated(&workflow.handler));
    let run = function(workflow, "run", "Running", methods.iter().filter_map(|method| method.run(workflow)));
    let undo = function(workflow, "undo", "Undoing", methods.iter().filter_map(|method| method.undo(workflow)));
    let skip = function(workflow, "skip", "Asking", methods.iter().filter_map(|method| method.skip(workflow)));
    // Where the trait seemed to be derived the compiler would advise to implement it by hand.
    let dispatch = respanned(quote!(#krate::runner::Dispatch<__Handler>), ident.span());
    quote! {
        #[allow(unused_variables)]
        impl<__Handler: #handler> #dispatch for #ident {
            type Error = __Handler::Error;
            #run
            #undo
            #skip
        }
    }
}

/// A function of the dispatch; what it returns is named in the library.
///
/// All that awaits more than the method is in one async block, since each costs the compiler milliseconds.
fn function(workflow: &Workflow, name: &str, returns: &str, arms: impl Iterator<Item = Arm>) -> TokenStream {
    let (krate, name, returns) = (&workflow.krate, format_ident!("{name}"), format_ident!("{returns}"));
    let (mut calls, mut blocks) = (TokenStream::new(), TokenStream::new());
    for Arm { index, code, is_call } in arms {
        if is_call { &mut calls } else { &mut blocks }.extend(quote!(#index => #code,));
    }
    let no_step = quote!(#krate::private::no_such_step());
    let rest = if blocks.is_empty() {
        quote!(::core::future::ready(#no_step))
    } else {
        quote!(async move { match step { #blocks _ => #no_step } })
    };
    quote! {
        fn #name<'a>(
            step: ::core::primitive::usize,
            handler: &'a __Handler,
            cx: &'a mut #krate::StepContext,
        ) -> #krate::private::#returns<'a, __Handler::Error> {
            match step {
                #calls
                _ => ::std::boxed::Box::pin(#rest),
            }
        }
    }
}

/// What the dispatch does for a step.
struct Arm {
    index: usize,
    code: TokenStream,
    /// It is a call, and no block that awaits.
    is_call: bool,
}

/// The arms of the dispatch, of the methods that it has them for.
impl Method<'_> {
    fn run(&self, workflow: &Workflow) -> Option<Arm> {
        match self.task {
            Task::Run => Some(self.body(workflow)),
            Task::Nest(_) => Some(self.nested(workflow, "nested_in")),
            Task::Undo | Task::Skip => None,
        }
    }

    fn undo(&self, workflow: &Workflow) -> Option<Arm> {
        match self.task {
            Task::Undo => Some(self.body(workflow)),
            Task::Nest(_) => Some(self.nested(workflow, "undo_nested_in")),
            Task::Run | Task::Skip => None,
        }
    }

    fn skip(&self, workflow: &Workflow) -> Option<Arm> {
        matches!(self.task, Task::Skip).then(|| self.body(workflow))
    }

    /// Runs the body that the method is.
    fn body(&self, workflow: &Workflow) -> Arm {
        let (krate, method) = (&workflow.krate, self.path(workflow));
        let hands_on = matches!(self.task, Task::Run) && self.step.output.is_some();
        let marker = hands_on.then(|| marker(workflow, self.step)).map(|marker| quote!(#marker,));
        let (end, call) = match self.task {
            Task::Run if hands_on => ("handed_on_by", "call_handed_on"),
            Task::Run => ("done", "call_done"),
            Task::Undo | Task::Skip | Task::Nest(_) => ("ended", "call_ended"),
        };
        let (end, call) = (format_ident!("{end}"), format_ident!("{call}"));
        let Read { statements, arguments } = self.read(workflow);
        let is_call = arguments.is_empty();
        let code = if is_call {
            quote!(#krate::private::#call(#marker handler, cx, #method))
        } else {
            quote!({ #statements #krate::private::#end(#marker #method(handler, cx, #arguments).await) })
        };
        Arm { index: self.index, code, is_call }
    }

    /// Hands the handler that the method gives to the library.
    fn nested(&self, workflow: &Workflow, what: &str) -> Arm {
        let (krate, what, method) = (&workflow.krate, format_ident!("{what}"), self.path(workflow));
        let marker = marker(workflow, self.step);
        let Read { statements, arguments } = self.read(workflow);
        let call = quote!(#krate::private::#what(#marker, cx, #method(handler, #arguments)));
        Arm { index: self.index, code: quote!({ #statements #call.await }), is_call: false }
    }

    fn path(&self, workflow: &Workflow) -> TokenStream {
        let (handler, name) = (generated(&workflow.handler), &self.name);
        quote!(<__Handler as #handler>::#name)
    }

    /// Reads from the record what the method is given.
    fn read(&self, workflow: &Workflow) -> Read {
        let krate = &workflow.krate;
        let values = self.given(workflow).into_iter().enumerate().map(|(nth, given)| {
            let (value, marker) = (format_ident!("given{nth}"), marker(workflow, given.step));
            let (reader, argument) = if given.optional {
                (quote!(maybe), quote!(::core::option::Option::as_ref(&#value),))
            } else {
                (quote!(needed), quote!(&#value,))
            };
            // The error's type cannot be inferred: `?` may turn it into another one.
            (quote!(let #value = #krate::private::#reader::<_, __Handler::Error>(cx, #marker)?;), argument)
        });
        let (statements, arguments) = values.unzip();
        Read { statements, arguments }
    }
}

/// What is read from the record, and what of it is given to a method.
struct Read {
    statements: TokenStream,
    arguments: TokenStream,
}
