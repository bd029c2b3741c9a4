//! The trait with a method for each step, and what calls its methods by the position of the step.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
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
    let Workflow { krate, ident, vis, handler, .. } = workflow;
    let doc =
        format!("Runs `{ident}` with a handler, `&handler` or an `Arc` of it: a type that implements [`{handler}`].");
    quote! {
        #[doc = #doc]
        #vis fn run<'h, P: #krate::runner::HandlerFor<#ident> + 'h>(handler: P) -> #krate::runner::Runner<'h, #ident, P> {
            #krate::private::runner(handler)
        }
    }
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
    let Workflow { krate, ident, vis, handler, .. } = workflow;
    let methods = methods.iter().map(|method| method.declaration(workflow));
    let doc = format!("What the steps of [`{ident}`] do: a method for each, which `{ident}::run` calls.");
    let message = format!("`{{Self}}` does not handle the steps of `{ident}`");
    let label = format!("`{handler}` is not implemented for this type");
    quote! {
        #[doc = #doc]
        #[diagnostic::on_unimplemented(message = #message, label = #label)]
        #[allow(dead_code, private_bounds, private_interfaces, unreachable_pub)]
        #vis trait #handler: ::core::marker::Send + ::core::marker::Sync {
            #[doc = "What the methods fail with."]
            type Error: #krate::StepError;
            #(#methods)*
        }
    }
}

impl Method<'_> {
    fn declaration(&self, workflow: &Workflow) -> TokenStream {
        let (krate, name, doc) = (&workflow.krate, &self.name, self.doc(workflow));
        let needs = needs(workflow, self.step);
        let needs = needs.iter().map(Need::parameter);
        let context = quote!(cx: &mut #krate::StepContext);
        let output = self.step.output.as_ref().map_or_else(|| quote!(()), |output| quote!(#output));
        // The compiler points at the step where it speaks of its method.
        let place = Span::call_site().located_at(self.step.ident.span());
        match self.task {
            Task::Run => {
                let future = future(&output);
                quote_spanned!(place=> #[doc = #doc] fn #name(&self, #context, #(#needs),*) -> #future;)
            }
            Task::Nest(inner) => {
                let handler = quote!(#krate::runner::HandlerFor<#inner>);
                quote_spanned!(place=> #[doc = #doc] fn #name(&self, #(#needs),*) -> impl #handler;)
            }
            Task::Undo => {
                let output = self.step.output.is_some().then(|| quote!(output: ::core::option::Option<&#output>));
                let future = future(&quote!(()));
                quote_spanned!(place=> #[doc = #doc] fn #name(&self, #context, #output) -> #future;)
            }
            Task::Skip => {
                let future = future(&quote!(::core::option::Option<::std::string::String>));
                quote_spanned! {place=>
                    #[doc = #doc]
                    fn #name(&self, #context) -> #future {
                        let _ = cx;
                        ::core::future::ready(::core::result::Result::Ok(::core::option::Option::None))
                    }
                }
            }
        }
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

/// What a method returns that is a body.
fn future(output: &TokenStream) -> TokenStream {
    let result = quote!(::core::result::Result<#output, Self::Error>);
    quote!(impl ::core::future::Future<Output = #result> + ::core::marker::Send)
}

/// The steps whose outputs are handed to `step`, in the order in which it needs them.
fn needs<'a>(workflow: &'a Workflow, step: &Step) -> Vec<Need<'a>> {
    let mut taken = HashSet::new();
    let steps = workflow.needs(step).into_iter().map(|need| &workflow.steps[need]);
    let needs = steps.filter_map(|step| Some(Need { step, output: step.output.as_ref()? }));
    // That a step is needed twice, or has the name of another one, is a fault, and reported.
    needs.filter(|need| taken.insert(names::snake(&need.step.ident))).collect()
}

/// What an earlier step hands on to a later one.
struct Need<'a> {
    step: &'a Step,
    output: &'a Type,
}

impl Need<'_> {
    /// The step may have nothing to hand on.
    fn is_optional(&self) -> bool {
        self.step.skippable || !self.step.critical
    }

    fn parameter(&self) -> TokenStream {
        let (words, output) = (names::snake(&self.step.ident), self.output);
        let name = if words == "cx" { "cx_" } else { &words };
        let name = names::ident(name, self.step.ident.span());
        let reference = quote_spanned!(output.span()=> &#output);
        if self.is_optional() { quote!(#name: ::core::option::Option<#reference>) } else { quote!(#name: #reference) }
    }
}

/// What calls the methods by the position of the step.
fn dispatch(workflow: &Workflow, methods: &[Method<'_>]) -> TokenStream {
    let Workflow { krate, ident, handler, .. } = workflow;
    let run = function(workflow, "run", "Running", methods.iter().filter_map(|method| method.run(workflow)));
    let undo = function(workflow, "undo", "Undoing", methods.iter().filter_map(|method| method.undo(workflow)));
    let skip = function(workflow, "skip", "Asking", methods.iter().filter_map(|method| method.skip(workflow)));
    quote! {
        #[automatically_derived]
        #[allow(unused_variables)]
        impl<__Handler: #handler> #krate::runner::Dispatch<__Handler> for #ident {
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
        ) -> #krate::private::#returns<'a, Self::Error> {
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
            Task::Run => {
                let end = if self.step.output.is_some() { "handed_on" } else { "done" };
                Some(self.body(workflow, end, read_needs(workflow, self.step)))
            }
            Task::Nest(inner) => Some(self.nested(workflow, "nested", inner)),
            Task::Undo | Task::Skip => None,
        }
    }

    fn undo(&self, workflow: &Workflow) -> Option<Arm> {
        match self.task {
            Task::Undo => Some(self.body(workflow, "ended", read_own(workflow, self.step))),
            Task::Nest(inner) => Some(self.nested(workflow, "undo_nested", inner)),
            Task::Run | Task::Skip => None,
        }
    }

    fn skip(&self, workflow: &Workflow) -> Option<Arm> {
        matches!(self.task, Task::Skip).then(|| self.body(workflow, "ended", Read::default()))
    }

    /// Runs the body that the method is.
    fn body(&self, workflow: &Workflow, end: &str, Read { statements, given }: Read) -> Arm {
        let (krate, method) = (&workflow.krate, self.path(workflow));
        let is_call = given.is_empty();
        let code = if is_call {
            let call = format_ident!("call_{end}");
            quote!(#krate::private::#call(handler, cx, #method))
        } else {
            let end = format_ident!("{end}");
            quote!({ #statements #krate::private::#end(#method(handler, cx, #given).await) })
        };
        Arm { index: self.index, code, is_call }
    }

    /// Hands the handler that the method gives to the library.
    fn nested(&self, workflow: &Workflow, what: &str, inner: &Path) -> Arm {
        let (krate, what, method) = (&workflow.krate, format_ident!("{what}"), self.path(workflow));
        let Read { statements, given } = read_needs(workflow, self.step);
        let call = quote!(#krate::private::#what::<#inner, _, Self::Error>(cx, #method(handler, #given)));
        Arm { index: self.index, code: quote!({ #statements #call.await }), is_call: false }
    }

    fn path(&self, workflow: &Workflow) -> TokenStream {
        let (handler, name) = (&workflow.handler, &self.name);
        quote!(<__Handler as #handler>::#name)
    }
}

/// What is read from the record, and what of it is given to a method.
#[derive(Default)]
struct Read {
    statements: TokenStream,
    given: TokenStream,
}

impl Read {
    /// Reads the output of `step`, and gives it by reference.
    fn output(&mut self, workflow: &Workflow, step: &Step, name: &str, optional: bool) {
        let (krate, marker, value) = (&workflow.krate, marker(workflow, step), format_ident!("{name}"));
        let (reader, given) = if optional {
            (quote!(maybe), quote!(::core::option::Option::as_ref(&#value),))
        } else {
            (quote!(needed), quote!(&#value,))
        };
        // The error's type cannot be inferred: `?` may turn it into another one.
        self.statements.extend(quote!(let #value = #krate::private::#reader::<_, Self::Error>(cx, #marker)?;));
        self.given.extend(given);
    }
}

fn read_needs(workflow: &Workflow, step: &Step) -> Read {
    let mut read = Read::default();
    for (nth, need) in needs(workflow, step).iter().enumerate() {
        read.output(workflow, need.step, &format!("need{nth}"), need.is_optional());
    }
    read
}

/// What an undo is given: the output of its own step.
fn read_own(workflow: &Workflow, step: &Step) -> Read {
    let mut read = Read::default();
    if step.output.is_some() {
        read.output(workflow, step, "own", true);
    }
    read
}
