//! duroxide: an orchestration is a function that is run again from its history; a step is an activity.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::duroxide::providers::sqlite::SqliteProvider;
use ::duroxide::runtime::registry::ActivityRegistry;
use ::duroxide::runtime::{Runtime, RuntimeOptions};
use ::duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus};
use tokio::sync::Semaphore;

use crate::{Contender, Outcome, STEPS, work};

struct Duroxide {
    client: Client,
    /// A permit for each run that has come to its end.
    ended: Arc<Semaphore>,
    /// It works while it is held.
    _runtime: Arc<Runtime>,
}

/// With its own settings, or with another interval between its looks for work.
pub(crate) async fn open(dir: &Path, interval: Option<Duration>) -> Outcome<impl Contender + use<>> {
    let url = format!("sqlite:{}?mode=rwc", dir.join("duroxide.db").display());
    let store = Arc::new(SqliteProvider::new(&url, None).await?);
    let activities = ActivityRegistry::builder()
        .register("Step", |_: ActivityContext, _: String| async {
            work();
            Ok(String::new())
        })
        .build();
    let ended = Arc::new(Semaphore::new(0));
    let ends = ended.clone();
    let orchestrations = OrchestrationRegistry::builder()
        .register("Chain", move |context: OrchestrationContext, _: String| {
            let ends = ends.clone();
            async move {
                for _ in 0..STEPS {
                    context.schedule_activity("Step", "").await?;
                }
                ends.add_permits(1);
                Ok::<_, String>(String::new())
            }
        })
        .build();
    let mut options = RuntimeOptions::default();
    if let Some(interval) = interval {
        options.dispatcher_min_poll_interval = interval;
    }
    let runtime = Runtime::start_with_options(store.clone(), activities, orchestrations, options).await;
    Ok(Duroxide { client: Client::new(store), ended, _runtime: runtime })
}

impl Contender for Duroxide {
    async fn sample(&mut self, name: &str, runs: usize) -> Outcome<Duration> {
        // A turn that could not be written down comes twice.
        self.ended.forget_permits(self.ended.available_permits());
        let since = Instant::now();
        for run in 0..runs {
            self.client.start_orchestration(format!("{name}-{run}"), "Chain", "").await?;
        }
        self.ended.acquire_many(u32::try_from(runs)?).await?.forget();
        for run in 0..runs {
            self.wait(&format!("{name}-{run}")).await?;
        }
        Ok(since.elapsed())
    }
}

impl Duroxide {
    /// For a run whose steps have been run to be written down as ended. `wait_for_orchestration` would look all the
    /// time, and in the end every 100 ms.
    async fn wait(&self, run: &str) -> Outcome {
        loop {
            match self.client.get_orchestration_status(run).await? {
                OrchestrationStatus::Completed { .. } => return Ok(()),
                OrchestrationStatus::Failed { details, .. } => return Err(details.display_message().into()),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}
