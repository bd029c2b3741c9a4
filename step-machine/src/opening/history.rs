//! What earlier runs of a workflow took, asked of the journal while the run goes on.

use std::pin::Pin;
use std::sync::Arc;

use crate::estimate::{Estimator, took};
use crate::event::RunStatus;
use crate::journal::{Journal, RunQuery};
use crate::workflow::SharedPlan;

/// How many runs are looked at: the newest, since what they do changes.
const RUNS: usize = 20;

/// After so many events no further run is read.
const EVENTS: usize = 20_000;

/// What comes of the question, when it does. Whoever asked never waits for it.
pub(crate) type Asked = Pin<Box<dyn Future<Output = Option<Estimator>> + Send>>;

/// Asks for the newest completed runs. A journal that cannot answer is as one that has none.
pub(super) fn ask(journal: Arc<dyn Journal>, plan: SharedPlan) -> Asked {
    Box::pin(async move {
        let query = RunQuery::all().with_nested().workflow(&plan.workflow).status(RunStatus::Completed);
        let query = query.last_begun_first().limit(RUNS);
        let runs = journal.list(&query).await.ok()?;
        let (mut spans, mut read) = (Vec::with_capacity(runs.len()), 0);
        for run in runs {
            if read >= EVENTS {
                break;
            }
            let Ok(events) = journal.load(&run.run).await else { continue };
            read += events.len();
            spans.extend(took(&plan, &events));
        }
        Estimator::new(&plan, &spans)
    })
}
