//! cano: a workflow is a map of states to tasks; its recovery store is a file of redb, which every run shares.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::cano::RedbCheckpointStore;
use ::cano::prelude::*;
use tokio::task::JoinSet;

use crate::{Contender, Outcome, STEPS, work};

/// A state by its position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct At(usize);

#[derive(Clone)]
struct Step {
    next: At,
}

#[task(state = At)]
impl Step {
    /// The default would set up retries.
    fn config(&self) -> TaskConfig {
        TaskConfig::minimal()
    }

    async fn run_bare(&self) -> Result<TaskResult<At>, CanoError> {
        work();
        Ok(TaskResult::Single(self.next.clone()))
    }
}

struct Cano {
    store: Arc<RedbCheckpointStore>,
}

pub(crate) fn open(dir: &Path) -> Outcome<impl Contender + use<>> {
    Ok(Cano { store: Arc::new(RedbCheckpointStore::new(dir.join("cano.redb"))?) })
}

impl Contender for Cano {
    async fn sample(&mut self, name: &str, runs: usize) -> Outcome<Duration> {
        // A workflow has the name of its run, so each run has its own. They are not timed.
        let workflows: Vec<_> = (0..runs).map(|run| self.workflow(&format!("{name}-{run}"))).collect();
        let since = Instant::now();
        let mut set = JoinSet::new();
        for workflow in workflows {
            set.spawn(async move { workflow.orchestrate(At(0), CancellationToken::disabled()).await.map(drop) });
        }
        while let Some(ended) = set.join_next().await {
            ended??;
        }
        Ok(since.elapsed())
    }
}

impl Cano {
    fn workflow(&self, name: &str) -> Workflow<At> {
        (0..STEPS)
            .fold(Workflow::bare(), |workflow, at| workflow.register(At(at), Step { next: At(at + 1) }))
            .add_exit_state(At(STEPS))
            .with_checkpoint_store(self.store.clone())
            .with_workflow_id(name)
    }
}
