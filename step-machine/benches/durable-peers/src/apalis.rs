//! apalis-workflow: a workflow is a chain of functions, and each step of a run is a task in a queue.

use std::path::Path;
use std::time::{Duration, Instant};

use ::apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use apalis_workflow::{SteppedFlow, WorkflowSink};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::{Contender, Outcome, STEPS, work};

/// How its store is set up.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    /// A pool of connections; one of them is told not to wait for the disk.
    AsItsExamples,
    /// The same with a single connection, for which nothing else locks the file.
    OneConnection,
    /// The same with every commit waited for.
    OneConnectionFull,
}

struct Apalis {
    pool: SqlitePool,
}

pub(crate) async fn open(dir: &Path, store: Store) -> Outcome<impl Contender + use<>> {
    let file = SqliteConnectOptions::new().filename(dir.join("apalis.db")).create_if_missing(true);
    let one = SqlitePoolOptions::new().max_connections(1);
    let pool = match store {
        Store::AsItsExamples => SqlitePool::connect_with(file).await?,
        Store::OneConnection | Store::OneConnectionFull => one.connect_with(file).await?,
    };
    SqliteStorage::setup(&pool).await?;
    if let Store::OneConnectionFull = store {
        sqlx::query("PRAGMA synchronous = FULL").execute(&pool).await?;
    }
    Ok(Apalis { pool })
}

/// The worker stops after so many steps.
async fn step(all: usize, worker: WorkerContext) -> Result<usize, BoxDynError> {
    if work() == all {
        worker.stop()?;
    }
    Ok(all)
}

/// Its type names every step.
macro_rules! ten_more {
    ($flow:expr) => {
        $flow
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
            .and_then(step)
    };
}

impl Contender for Apalis {
    async fn sample(&mut self, name: &str, runs: usize) -> Outcome<Duration> {
        let mut storage = SqliteStorage::new(&self.pool).with_config(Config::default().queue("chain"));
        let flow = SteppedFlow::new("chain");
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let flow = ten_more!(flow);
        let since = Instant::now();
        for _ in 0..runs {
            storage.push_start(runs * STEPS).await?;
        }
        WorkerBuilder::new(name).backend(storage).build(flow).run().await?;
        Ok(since.elapsed())
    }
}
