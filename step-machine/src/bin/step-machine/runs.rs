//! `step-machine runs`: which runs there are.

use std::io::Write;
use std::time::SystemTime;

use step_machine::event::RunStatus;
use step_machine::journal::{Abandoned, RunQuery, RunSummary};

use super::args::{Place, Runs};
use super::store::Store;
use super::table::{Fit, Table};
use super::text::ago;
use super::trouble::{OK, Outcome, Trouble};

pub(crate) fn run(place: &Place, options: &Runs, out: &mut dyn Write) -> Outcome {
    let runs = find(&Store::to_read(place)?, options)?;
    if options.json {
        for run in &runs {
            serde_json::to_writer(&mut *out, run)?;
            writeln!(out)?;
        }
        return Ok(OK);
    }
    if runs.is_empty() {
        writeln!(out, "no runs")?;
        return Ok(OK);
    }
    table(&runs, SystemTime::now()).write(0, out)?;
    if runs.len() == options.limit {
        writeln!(out, "(the newest {}; `--limit` shows more)", options.limit)?;
    }
    Ok(OK)
}

fn find(store: &Store, options: &Runs) -> Result<Vec<RunSummary>, Trouble> {
    let query = query(options);
    let Some(silence) = options.stalled else { return store.list(&query.limit(options.limit)) };
    let (mut runs, stalled) = (store.list(&query)?, store.stalled(silence)?);
    // Of a run that is nested in none the journal says whether something is heard from inside of it.
    let is_outermost = |run: &RunSummary| run.parent.is_none() && run.abandoned.is_none();
    runs.retain(|run| !is_outermost(run) || stalled.iter().any(|stalled| stalled.run == run.run));
    runs.truncate(options.limit);
    Ok(runs)
}

fn query(options: &Runs) -> RunQuery {
    let mut query = match options.stalled {
        Some(silence) => RunQuery::unfinished().silent_for(silence),
        None => RunQuery::all(),
    };
    query.workflow.clone_from(&options.workflow);
    query.statuses.extend(options.status.iter().map(|&status| RunStatus::from(status)));
    query.labels.extend(options.label.iter().cloned());
    (query.nested, query.abandoned) = (options.all, options.all);
    query
}

/// How a run stands. One that was given up stays as it was in its events, and nobody goes on with it.
pub(crate) fn status(status: RunStatus, abandoned: Option<&Abandoned>) -> &'static str {
    if abandoned.is_some() { "abandoned" } else { status.as_str() }
}

pub(crate) fn table(runs: &[RunSummary], now: SystemTime) -> Table {
    let mut table = Table::new(&[
        ("RUN", Fit::Whole),
        ("WORKFLOW", Fit::Cut),
        ("STATUS", Fit::Whole),
        ("DONE", Fit::Number),
        ("STEP", Fit::First),
        ("AGO", Fit::Number),
    ]);
    for run in runs {
        table.row([
            run.run.to_string(),
            run.workflow.clone(),
            status(run.status, run.abandoned.as_ref()).to_owned(),
            format!("{:.0}%", run.percentage),
            run.phase.clone().unwrap_or_default(),
            ago(run.updated_at, now),
        ]);
    }
    table
}
