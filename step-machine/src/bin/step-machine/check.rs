//! `step-machine check`: damage, and runs that a workflow of today could not go on with.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use step_machine::Plan;
use step_machine::journal::{RunQuery, RunSummary};

use super::args::{Check, Place};
use super::graph::snapshot;
use super::store::{Found, Store};
use super::text::{count, one_line};
use super::trouble::{FAILED, OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Check, out: &mut dyn Write) -> Outcome {
    let plan = options.snapshot.as_deref().map(snapshot).transpose()?;
    let store = Store::to_read(place)?;
    let run = options.run.as_deref().map(|run| store.find(run)).transpose()?;
    let (found, looked_at) = match (&plan, &options.snapshot) {
        (Some(plan), Some(path)) => resumable(&store, plan, path, run)?,
        _ => whole(&store, run)?,
    };
    for Found { run, what } in &found {
        if options.json {
            serde_json::to_writer(&mut *out, &json!({ "run": run, "what": what }))?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", one_line(what))?;
        }
    }
    if !options.json {
        let found = match found.len() {
            0 => "nothing is wrong".to_owned(),
            number => format!("{number} found"),
        };
        writeln!(out, "{looked_at}: {found}")?;
    }
    Ok(if found.is_empty() { OK } else { FAILED })
}

/// Damage.
fn whole(store: &Store, run: Option<RunSummary>) -> Result<(Vec<Found>, String), Trouble> {
    let Some(run) = run else {
        let (found, read) = store.check()?;
        return Ok((found, format!("{} read", count(read, "run"))));
    };
    Ok((store.check_run(&run)?, "1 run read".to_owned()))
}

/// What keeps runs that have not completed from going on by `plan`.
fn resumable(
    store: &Store,
    plan: &Plan,
    path: &Path,
    run: Option<RunSummary>,
) -> Result<(Vec<Found>, String), Trouble> {
    let runs = match run {
        Some(run) if run.workflow != plan.workflow => {
            let (name, found) = (path.display(), &plan.workflow);
            let text = format!("run {} is one of `{}`, and {name} is of `{found}`", run.run, run.workflow);
            return Err(Trouble::Usage(text));
        }
        Some(run) => vec![run],
        None => {
            let mut runs = store.list(&RunQuery::all().with_nested().workflow(&plan.workflow))?;
            runs.retain(|run| run.status.can_resume());
            runs
        }
    };
    let (mut found, mut read) = (Vec::new(), 0);
    for summary in runs {
        let run = summary.run.clone();
        match store.kept(summary) {
            Ok(kept) => {
                for change in kept.state.plan_changes(plan) {
                    found.push(Found { run: Some(run.clone()), what: format!("run {run}: {change}") });
                }
            }
            Err(trouble) if trouble.is_gone() => continue,
            Err(trouble) if trouble.is_damage() => found.push(Found::of(&run, &trouble)),
            Err(trouble) => return Err(trouble),
        }
        read += 1;
    }
    Ok((found, format!("{} of `{}` that can go on", count(read, "run"), plan.workflow)))
}
