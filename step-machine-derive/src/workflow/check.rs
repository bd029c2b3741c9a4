//! The rules of a workflow, each with its message.

use std::collections::HashMap;
use std::time::Duration;

use proc_macro2::Span;

use super::graph;
use super::model::{Retry, Step, Workflow};
use crate::diagnostics::Diagnostics;
use crate::names;
use crate::value::At;

pub(crate) fn workflow(workflow: &Workflow, faults: &mut Diagnostics) {
    ids(workflow, faults);
    generated_names(workflow, faults);
    graph::check(workflow, faults);
    if let Some(span) = workflow.rollback
        && !workflow.steps.iter().any(|step| step.undo)
    {
        faults.span(
            span,
            format!("workflow `{}`: `on_failure = \"rollback\"`, but no step has `#[step(undo)]`; there would be nothing to roll back", workflow.ident),
        );
    }
    for step in &workflow.steps {
        limits(workflow, step, faults);
        weight(step, faults);
        nested(workflow, step, faults);
        if let Some(retry) = &step.retry {
            self::retry(step, retry, faults);
        }
    }
}

/// No two steps share an id or an old id.
fn ids(workflow: &Workflow, faults: &mut Diagnostics) {
    let mut owners: HashMap<&str, &Step> = HashMap::new();
    for step in &workflow.steps {
        if let Some(first) = owners.get(step.id.value.as_str()) {
            faults.span(
                step.id.span,
                format!(
                    "step `{}`: the id `{}` is that of `{}` already; give one of them another with `id = \"..\"`",
                    step.ident, step.id.value, first.ident
                ),
            );
        } else {
            owners.insert(&step.id.value, step);
        }
    }
    for step in &workflow.steps {
        let Some(alias) = &step.alias else { continue };
        match owners.get(alias.value.as_str()) {
            Some(owner) if owner.ident == step.ident => faults.span(
                alias.span,
                format!(
                    "step `{}`: `alias = \"{}\"` is its own id; an alias is an id that it had before",
                    step.ident, alias.value
                ),
            ),
            Some(owner) => faults.span(
                alias.span,
                format!("step `{}`: `alias = \"{}\"` is the id of `{}`", step.ident, alias.value, owner.ident),
            ),
            None => {
                owners.insert(&alias.value, step);
            }
        }
    }
}

/// No two steps lead to one generated name.
fn generated_names(workflow: &Workflow, faults: &mut Diagnostics) {
    if workflow.module == workflow.handler {
        faults.at(
            &workflow.handler,
            format!(
                "workflow `{}`: `steps` and `handler` are both `{}`; give one of them another name",
                workflow.ident, workflow.handler
            ),
        );
    }
    let mut owners: HashMap<String, &Step> = HashMap::new();
    for step in &workflow.steps {
        if names::plain(&step.ident) == "at" {
            faults.at(
                &step.ident,
                "step `at`: the module of the steps has `at` for its places; name the step `At` or something else",
            );
        }
        for method in methods(step) {
            if let Some(first) = owners.get(&method) {
                faults.at(
                    &step.ident,
                    format!(
                        "steps `{}` and `{}` would both have the handler method `{method}`; rename one of them",
                        first.ident, step.ident
                    ),
                );
            } else {
                owners.insert(method, step);
            }
        }
    }
}

/// The names of the handler's methods for a step.
fn methods(step: &Step) -> impl Iterator<Item = String> {
    let run = names::snake(&step.ident);
    let undo = step.undo.then(|| format!("undo_{run}"));
    let skip = step.skippable.then(|| format!("skip_{run}"));
    [Some(run), undo, skip].into_iter().flatten()
}

/// A limit that could never be reached because a shorter one comes first.
fn limits(workflow: &Workflow, step: &Step, faults: &mut Diagnostics) {
    let subject = format!("step `{}`", step.ident);
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
                format!("{subject}: {inner_name} of {inner_text} is longer than {outer_name} of {outer_text}, so it could never be reached"),
            );
        }
    };
    let (timeout, deadline) = (step.timeout.as_ref(), step.deadline.as_ref());
    within(timeout, "the `timeout` of one attempt", deadline, "the `deadline` of all attempts");
    within(deadline, "the `deadline`", workflow.deadline.as_ref(), "the workflow's `deadline`");
    if deadline.is_none() {
        within(timeout, "the `timeout`", workflow.deadline.as_ref(), "the workflow's `deadline`");
    }
    within(step.stalled_after.as_ref(), "`stalled_after`", timeout.or(deadline), "the step's time limit");
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

fn nested(workflow: &Workflow, step: &Step, faults: &mut Diagnostics) {
    if let Some(path) = &step.nested
        && path.is_ident(&workflow.ident)
    {
        faults.at(path, format!("step `{}`: `{}` cannot be nested in itself", step.ident, workflow.ident));
    }
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
    let delay = retry.delay.as_ref().map_or(Duration::from_secs(1), |delay| delay.value);
    if let Some(max) = &retry.max_delay
        && max.value < delay
    {
        let (max_text, delay_text) = (humantime::format_duration(max.value), humantime::format_duration(delay));
        faults.span(
            max.span,
            format!("{subject}: `max_delay` of {max_text} is under the `delay` of {delay_text} that it is to bound"),
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
