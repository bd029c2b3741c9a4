//! `step-machine prune`: removes runs that are over.

use std::io::Write;
use std::time::{Duration, SystemTime};

use step_machine::event::RunStatus;
use step_machine::journal::{RunQuery, RunSummary};

use super::args::{Place, Prune};
use super::runs::table;
use super::store::Store;
use super::text::count;
use super::trouble::{OK, Outcome, Trouble};

/// What the journal takes for over, beside what was abandoned.
const OVER: [RunStatus; 4] = [RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled, RunStatus::RolledBack];

pub(crate) fn run(place: &Place, options: &Prune, out: &mut dyn Write) -> Outcome {
    let now = SystemTime::now();
    let Some(before) = now.checked_sub(options.older_than) else {
        return Err(Trouble::Usage("`--older-than` is longer than there has been time".to_owned()));
    };
    if !options.dry_run {
        let removed = Store::to_write(place)?.journal().prune(before).wait()?;
        writeln!(out, "{} removed", count(removed, "run"))?;
        return Ok(OK);
    }
    let runs = over(&Store::to_read(place)?, before)?;
    if options.json {
        for run in &runs {
            serde_json::to_writer(&mut *out, run)?;
            writeln!(out)?;
        }
        return Ok(OK);
    }
    if !runs.is_empty() {
        table(&runs, now).write(0, out)?;
    }
    writeln!(out, "{} would be removed, but for those that somebody drives by then", count(runs.len(), "run"))?;
    Ok(OK)
}

fn over(store: &Store, before: SystemTime) -> Result<Vec<RunSummary>, Trouble> {
    let mut query = RunQuery::all().with_abandoned();
    // The journal keeps a run whose last event was just then.
    query.silent_since = before.checked_sub(Duration::from_micros(1));
    let mut runs = store.list(&query)?;
    runs.retain(|run| run.abandoned.is_some() || OVER.contains(&run.status));
    Ok(runs)
}
