//! The rules of a workflow, each with its message.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use proc_macro2::Span;
use syn::Path;

use super::graph;
use super::model::{Retry, Step, Workflow};
use crate::diagnostics::Diagnostics;
use crate::names;
use crate::value::At;

/// Reports what breaks a rule, and puts right what the code would not compile with.
pub(crate) fn workflow(workflow: &mut Workflow, faults: &mut Diagnostics) {
    handler(workflow, faults);
    module(workflow, faults);
    places(workflow, faults);
    ids(workflow, faults);
    methods(workflow, faults);
    graph::check(workflow, faults);
    nested(workflow, faults);
    if let Some(span) = workflow.rollback
        && !workflow.steps.iter().any(|step| step.undo.is_some() || step.nested.is_some())
    {
        faults.span(
            span,
            format!("workflow `{}`: `on_failure = \"rollback\"`, but no step can be undone; mark those that can with `#[step(undo)]`", workflow.ident),
        );
    }
    let total: f64 = workflow.steps.iter().map(|step| step.weight.as_ref().map_or(1.0, |weight| weight.value)).sum();
    let heaviest =
        workflow.steps.iter().filter_map(|step| step.weight.as_ref()).max_by(|a, b| a.value.total_cmp(&b.value));
    if let Some(heaviest) = heaviest.filter(|heaviest| heaviest.value.is_finite() && !total.is_finite()) {
        let message =
            "the weights add up to more than a number can hold; only their ratios matter, so make them smaller";
        faults.span(heaviest.span, format!("workflow `{}`: {message}", workflow.ident));
    }
    for step in &workflow.steps {
        limits(workflow, step, faults);
        weight(step, faults);
        secret(step, faults);
        if let Some(retry) = &step.retry {
            self::retry(step, retry, faults);
        }
    }
}

/// The trait of the handler is not named like the enum.
fn handler(workflow: &mut Workflow, faults: &mut Diagnostics) {
    let Workflow { ident, handler, .. } = workflow;
    if *handler != *ident {
        return;
    }
    let free = format!("{}Handler", names::plain(ident));
    faults.at(
        &*handler,
        format!(
            "workflow `{ident}`: the trait of its handler would be named `{ident}`, like the enum; give it another name, as in `#[workflow(handler = {free})]`"
        ),
    );
    *handler = names::ident(&free, handler.span());
}

/// The module of the markers is named like nothing beside it.
fn module(workflow: &mut Workflow, faults: &mut Diagnostics) {
    let Workflow { ident, module, handler, .. } = workflow;
    let other = if *module == *ident {
        "the enum"
    } else if *module == *handler {
        "the handler"
    } else if ["std", "core", "alloc"].iter().any(|library| *module == library) {
        "a part of the standard library"
    } else {
        return;
    };
    let free = format!("{}_steps", names::snake(ident));
    faults.at(
        &*module,
        format!(
            "workflow `{ident}`: the module of its steps would be named `{module}`, like {other}; give it another name, as in `#[workflow(steps = {free})]`"
        ),
    );
    *module = names::ident(&free, module.span());
}

/// No two steps share an id or an old id.
fn ids(workflow: &Workflow, faults: &mut Diagnostics) {
    let mut owners: HashMap<&str, &Step> = HashMap::new();
    for step in &workflow.steps {
        match owners.entry(&step.id.value) {
            Entry::Vacant(free) => {
                free.insert(step);
            }
            // Two variants of the same words clash in their methods too, which says what to do about it.
            Entry::Occupied(first) if names::snake(&first.get().ident) == names::snake(&step.ident) => {}
            Entry::Occupied(first) => faults.span(
                step.id.span,
                format!(
                    "step `{}`: the id `{}` is that of `{}` already; give one of them another with `id = \"..\"`",
                    step.ident,
                    step.id.value,
                    first.get().ident
                ),
            ),
        }
    }
    aliases(workflow, &owners, faults);
}

/// An old id is that of one step only, and of no other step today.
fn aliases(workflow: &Workflow, ids: &HashMap<&str, &Step>, faults: &mut Diagnostics) {
    let mut owners: HashMap<&str, &Step> = HashMap::new();
    for step in &workflow.steps {
        let Some(alias) = &step.alias else { continue };
        let taken = match (ids.get(alias.value.as_str()), owners.entry(&alias.value)) {
            (Some(owner), _) if owner.ident == step.ident => "its own id".to_owned(),
            (Some(owner), _) => format!("the id of `{}`", owner.ident),
            (None, Entry::Occupied(owner)) => format!("an alias of `{}` too", owner.get().ident),
            (None, Entry::Vacant(free)) => {
                free.insert(step);
                continue;
            }
        };
        faults.span(
            alias.span,
            format!(
                "step `{}`: `alias = \"{}\"` is {taken}; an alias is an id that only this step had, before it was renamed",
                step.ident, alias.value
            ),
        );
    }
}

/// The module of the markers has one name of its own.
fn places(workflow: &Workflow, faults: &mut Diagnostics) {
    if let Some(step) = workflow.steps.iter().find(|step| names::plain(&step.ident) == "at") {
        let message = "step `at`: the module of the steps has `at` for its places; name the variant `At`, or otherwise";
        faults.at(&step.ident, message);
    }
}

/// No two steps have a method of the handler in common.
fn methods(workflow: &Workflow, faults: &mut Diagnostics) {
    let mut owners: HashMap<String, &Step> = HashMap::new();
    for step in &workflow.steps {
        if let Some((method, first)) = method_names(step).find_map(|name| owners.get_key_value(&name)) {
            faults.at(
                &step.ident,
                format!(
                    "step `{}`: its handler method `{method}` would be that of `{}` too; rename one of them",
                    step.ident, first.ident
                ),
            );
        }
        for name in method_names(step) {
            owners.entry(name).or_insert(step);
        }
    }
}

/// The names of the handler's methods for a step.
fn method_names(step: &Step) -> impl Iterator<Item = String> {
    let run = names::snake(&step.ident);
    let undo = step.has_undo().then(|| format!("undo_{run}"));
    let skip = step.skippable.then(|| format!("skip_{run}"));
    [Some(run), undo, skip].into_iter().flatten()
}

/// A limit that could never be reached because a shorter one comes first.
fn limits(workflow: &Workflow, step: &Step, faults: &mut Diagnostics) {
    let mut within = |inner: Option<&At<Duration>>,
                      inner_name: &str,
                      outer: Option<&At<Duration>>,
                      outer_name: &str| {
        let (Some(inner), Some(outer)) = (inner, outer) else { return };
        if inner.value > outer.value {
            let (inner_text, outer_text) =
                (humantime::format_duration(inner.value), humantime::format_duration(outer.value));
            faults.span(
                inner.span,
                format!("step `{}`: {inner_name} of {inner_text} is longer than {outer_name} of {outer_text}, so it could never be reached; shorten it, or lengthen the other", step.ident),
            );
        }
    };
    let (timeout, deadline, stalled_after) =
        (step.timeout.as_ref(), step.deadline.as_ref(), step.stalled_after.as_ref());
    within(timeout, "`timeout`", deadline, "`deadline`");
    within(deadline, "`deadline`", workflow.deadline.as_ref(), "the workflow's `deadline`");
    if deadline.is_none() {
        within(timeout, "`timeout`", workflow.deadline.as_ref(), "the workflow's `deadline`");
    }
    let (limit, name) = if timeout.is_some() { (timeout, "`timeout`") } else { (deadline, "`deadline`") };
    within(stalled_after, "`stalled_after`", limit, name);
}

fn weight(step: &Step, faults: &mut Diagnostics) {
    let Some(weight) = &step.weight else { return };
    if !(weight.value.is_finite() && weight.value > 0.0) {
        faults.span(
            weight.span,
            format!("step `{}`: a weight is a number above zero, found {}; every step has the weight 1 unless it says otherwise", step.ident, weight.value),
        );
    }
}

/// A secret is an output.
fn secret(step: &Step, faults: &mut Diagnostics) {
    let Some(span) = step.secret.filter(|_| step.output.is_none() && step.nested.is_none()) else { return };
    let message = "`secret` is about the output of a step, and this one has none; give it one, as in `#[step(output = Token, secret)]`, or remove `secret`";
    faults.span(span, format!("step `{}`: {message}", step.ident));
}

/// What runs inside of a step is another workflow, and has undos and outputs of its own.
fn nested(workflow: &mut Workflow, faults: &mut Diagnostics) {
    let Workflow { ident, steps, .. } = workflow;
    for step in steps {
        let Some(path) = &step.nested else { continue };
        let (subject, other) = (format!("step `{}`", step.ident), last(path));
        if let Some(span) = step.undo {
            let message = format!(
                "the steps of `{other}` are undone by their own undos, so `undo` has no place beside `workflow`; remove it, and mark those steps of `{other}` with it that can be undone"
            );
            faults.span(span, format!("{subject}: {message}"));
        }
        if let Some(output) = &step.output {
            let message = format!(
                "what `{other}` hands on is read from its own steps, so `output` has no place beside `workflow`; remove it, and give the step of `{other}` an `output` that is to hand something on"
            );
            faults.at(output, format!("{subject}: {message}"));
        }
        if let Some(span) = step.secret {
            let message = format!(
                "what `{other}` hands on is read from its own steps, so `secret` has no place beside `workflow`; remove it, and mark the step of `{other}` with it whose `output` is secret"
            );
            faults.span(span, format!("{subject}: {message}"));
        }
        if path.is_ident(ident) {
            faults.at(path, format!("{subject}: `{ident}` cannot be nested in itself; name another workflow"));
            step.nested = None;
        }
    }
}

/// The name of a type without the way to it.
fn last(path: &Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}

fn retry(step: &Step, retry: &Retry, faults: &mut Diagnostics) {
    let subject = format!("step `{}`", step.ident);
    match &retry.attempts {
        Some(attempts) if attempts.value == 0 => faults.span(
            attempts.span,
            format!("{subject}: `attempts` counts the first attempt, so it is at least 1, found 0"),
        ),
        Some(attempts) if attempts.value == 1 => {
            if let Some(span) = waits(retry) {
                faults.span(
                    span,
                    format!("{subject}: with `attempts = 1` the step is never tried again, so there is nothing to wait for; raise `attempts` or remove this"),
                );
            }
        }
        _ => {}
    }
    let (delay, name) = match &retry.delay {
        Some(delay) => (delay.value, "the `delay`"),
        None => (Duration::from_secs(1), "the default `delay`"),
    };
    if let Some(max) = &retry.max_delay
        && max.value < delay
    {
        let (max_text, delay_text) = (humantime::format_duration(max.value), humantime::format_duration(delay));
        faults.span(
            max.span,
            format!("{subject}: `max_delay` of {max_text} is under {name} of {delay_text} that it is to bound; raise it, or lower `delay`"),
        );
    }
    if let Some(factor) = &retry.factor
        && !(factor.value.is_finite() && factor.value >= 1.0)
    {
        faults.span(
            factor.span,
            format!(
                "{subject}: `factor` is what the delay grows by after each attempt, so it is at least 1, found {}",
                factor.value
            ),
        );
    }
}

/// The place of the first key that is about waiting.
fn waits(retry: &Retry) -> Option<Span> {
    let delays = [&retry.delay, &retry.max_delay].into_iter().flatten().map(|at| at.span);
    delays.chain(retry.factor.as_ref().map(|at| at.span)).chain(retry.jitter.as_ref().map(|at| at.span)).next()
}
