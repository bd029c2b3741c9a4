//! The enum and its attributes to a model.

use proc_macro2::{Ident, Span, TokenStream};
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Fields, Token, Type, Variant};

use super::keys;
use super::model::{Retry, Step, Workflow};
use crate::attr::{self, Owner};
use crate::diagnostics::Diagnostics;
use crate::names;
use crate::value::{At, Reader};

pub(crate) fn workflow(input: &DeriveInput, faults: &mut Diagnostics) -> Workflow {
    let owner = Owner {
        attribute: "#[workflow(..)]".to_owned(),
        subject: format!("workflow `{}`", input.ident),
        elsewhere: keys::BESIDE_WORKFLOW,
    };
    let hint = "`#[step(..)]` belongs on a variant; rules of the whole workflow go in `#[workflow(..)]`";
    attr::misplaced(&input.attrs, "step", &owner, hint, faults);
    let items = attr::items(&input.attrs, "workflow", keys::WORKFLOW, &owner, faults);
    let variants = variants(input, faults);
    let mut reader = Reader::new(items, keys::WORKFLOW, &owner, faults);
    let plain = names::plain(&input.ident);
    Workflow {
        name: id(&mut reader, "name").map_or_else(|| names::kebab(&input.ident), |name| name.value),
        parallel: reader.flag("parallel").is_some(),
        rollback: rollback(&mut reader),
        deadline: reader.span_of_time("deadline"),
        module: reader.name("steps").unwrap_or_else(|| names::ident(&names::snake(&input.ident), input.ident.span())),
        handler: reader.name("handler").unwrap_or_else(|| names::ident(&format!("{plain}Handler"), input.ident.span())),
        krate: reader.path("crate").unwrap_or_else(|| syn::parse_quote!(::step_machine)),
        ident: input.ident.clone(),
        vis: input.vis.clone(),
        generics: input.generics.clone(),
        doc: attr::doc_lines(&input.attrs),
        steps: variants.into_iter().map(|variant| step(variant, faults)).collect(),
    }
}

/// The variants of an enum; a fault and none for anything else.
fn variants<'a>(input: &'a DeriveInput, faults: &mut Diagnostics) -> Vec<&'a Variant> {
    let ident = &input.ident;
    let found = match &input.data {
        Data::Enum(data) => {
            if data.variants.is_empty() {
                faults.at(ident, format!("workflow `{ident}` has no steps; give it a variant for each step"));
            }
            if !input.generics.params.is_empty() {
                faults.at(
                    &input.generics,
                    format!("workflow `{ident}` is generic; a workflow is a plain enum, and data belongs to the code that runs its steps"),
                );
            }
            return data.variants.iter().collect();
        }
        Data::Struct(_) => "a struct",
        Data::Union(_) => "a union",
    };
    faults.at(ident, format!("`{ident}` is {found}; a workflow is an enum with one variant for each step"));
    Vec::new()
}

fn rollback(reader: &mut Reader<'_>) -> Option<Span> {
    let policy = reader.text("on_failure")?;
    match policy.value.as_str() {
        "rollback" => return Some(policy.span),
        "stop" => {}
        other => {
            let near = names::did_you_mean(other, ["stop", "rollback"]);
            let subject = &reader.owner().subject;
            let message = format!("{subject}: `on_failure` is \"stop\" or \"rollback\", found \"{other}\"{near}");
            reader.faults().span(policy.span, message);
        }
    }
    None
}

/// `key = "kebab-case"`.
fn id(reader: &mut Reader<'_>, key: &str) -> Option<At<String>> {
    let id = reader.text(key)?;
    let Some(fault) = names::id_fault(&id.value) else { return Some(id) };
    let subject = &reader.owner().subject;
    let fixed = names::as_id(&id.value).map(|fixed| format!("; write `{key} = \"{fixed}\"`")).unwrap_or_default();
    let message = format!("{subject}: `{key} = \"{}\"` {fault}{fixed}", id.value);
    reader.faults().span(id.span, message);
    None
}

fn step(variant: &Variant, faults: &mut Diagnostics) -> Step {
    let ident = &variant.ident;
    if !matches!(variant.fields, Fields::Unit) {
        faults.at(
            &variant.fields,
            format!(
                "step `{ident}` has fields; a step is a plain variant, and what it hands on is `#[step(output = Type)]`"
            ),
        );
    }
    let owner =
        Owner { attribute: "#[step(..)]".to_owned(), subject: format!("step `{ident}`"), elsewhere: keys::BESIDE_STEP };
    let hint = "`#[workflow(..)]` belongs on the enum; rules of one step go in `#[step(..)]`, as in `#[step(workflow = OtherStep)]`";
    attr::misplaced(&variant.attrs, "workflow", &owner, hint, faults);
    let items = attr::items(&variant.attrs, "step", keys::STEP, &owner, faults);
    let mut reader = Reader::new(items, keys::STEP, &owner, faults);
    let has_output = reader.has("output");
    let mut step = Step {
        id: id(&mut reader, "id").unwrap_or_else(|| At { value: names::kebab(ident), span: ident.span() }),
        alias: id(&mut reader, "alias"),
        name: name(&mut reader).unwrap_or_else(|| names::sentence(ident)),
        critical: reader.boolean("critical").is_none_or(|critical| critical.value),
        skippable: reader.flag("skippable").is_some(),
        output: output(&mut reader),
        secret: reader.flag("secret"),
        needs: needs(&mut reader),
        undo: reader.flag("undo"),
        retry: retry(&mut reader),
        timeout: reader.span_of_time("timeout"),
        deadline: reader.span_of_time("deadline"),
        weight: reader.float("weight", "takes a number above zero"),
        stalled_after: reader.span_of_time("stalled_after"),
        nested: reader.path("workflow"),
        fields: variant.fields.clone(),
        ident: ident.clone(),
        doc: attr::doc_lines(&variant.attrs),
    };
    // Where the output is a fault itself, that is all that is to be put right.
    step.secret = step.secret.filter(|_| step.output.is_some() || !has_output);
    step
}

fn output(reader: &mut Reader<'_>) -> Option<Type> {
    let output = reader.ty("output")?;
    let Type::Reference(reference) = &output else { return Some(output) };
    let subject = &reader.owner().subject;
    let message = format!(
        "{subject}: an output is recorded and read back later, so it owns its data; give a type without `&`, such as `String` for `&str`"
    );
    reader.faults().at(reference, message);
    None
}

fn name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text("name")?;
    if name.value.trim().is_empty() || name.value.contains('\n') {
        let subject = &reader.owner().subject;
        let message =
            format!("{subject}: `name` is what a person reads, in one line; it cannot be empty or have line breaks");
        reader.faults().span(name.span, message);
        return None;
    }
    Some(name.value)
}

fn needs(reader: &mut Reader<'_>) -> Vec<Ident> {
    let Some(list) = reader.list("needs") else { return Vec::new() };
    let subject = &reader.owner().subject;
    let place = attr::place(&list.value, list.span);
    let parser = Punctuated::<Ident, Token![,]>::parse_terminated;
    let found = list.value.to_string();
    match syn::parse::Parser::parse2(parser, list.value) {
        Ok(names) if names.is_empty() => {
            reader.faults().span(
                place,
                format!("{subject}: `needs()` is empty; name variants, as in `needs(GetInstanceInfo)`, or remove it"),
            );
            Vec::new()
        }
        Ok(names) => names.into_iter().collect(),
        Err(error) => {
            let message = format!(
                "{subject}: `needs` takes variants with commas between, as in `needs(Fetch, Build)`, found `needs({found})`"
            );
            reader.faults().span(error.span(), message);
            Vec::new()
        }
    }
}

fn retry(reader: &mut Reader<'_>) -> Option<Retry> {
    let list: At<TokenStream> = reader.list("retry")?;
    let owner = Owner {
        attribute: "retry(..)".to_owned(),
        subject: reader.owner().subject.clone(),
        elsewhere: keys::BESIDE_RETRY,
    };
    let faults = reader.faults();
    let items = attr::nested(list.value, keys::RETRY, &owner, faults);
    let mut reader = Reader::new(items, keys::RETRY, &owner, faults);
    let has_attempts = reader.has("attempts");
    let retry = Retry {
        attempts: reader.count("attempts"),
        delay: reader.duration("delay"),
        factor: reader.float("factor", "takes a number of at least 1"),
        max_delay: reader.duration("max_delay"),
        jitter: reader.boolean("jitter"),
    };
    if !has_attempts {
        let message = format!(
            "{}: `retry` needs the number of attempts, the first one included; write `retry(attempts = 3)`",
            owner.subject
        );
        reader.faults().span(list.span, message);
    }
    Some(retry)
}
