//! What SQLite itself takes for many runs at once: a thread that writes in one commit what came meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Outcome;

struct Step {
    run: usize,
    number: u8,
    /// Told once the step is on the disk.
    done: oneshot::Sender<()>,
}

/// Lets so many runs of 100 steps go at once, each step 128 bytes in a row of its own, that is found by its run and its
/// number; how long they took.
pub(crate) fn together(runtime: &Runtime, mut connection: Connection, runs: usize) -> Outcome<Duration> {
    connection.execute_batch(
        "CREATE TABLE step_of_run (run INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (run, number)) STRICT",
    )?;
    let (steps, come) = channel();
    let writer = thread::spawn(move || write(&mut connection, &come));
    let since = Instant::now();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for number in 0..runs {
            set.spawn(run(number, steps.clone()));
        }
        while let Some(ended) = set.join_next().await {
            ended??;
        }
        Outcome::Ok(())
    })?;
    let took = since.elapsed();
    drop(steps);
    writer.join().map_err(|_| "the thread that writes has panicked")??;
    Ok(took)
}

async fn run(run: usize, steps: Sender<Step>) -> Outcome {
    for number in 0..100 {
        let (done, durable) = oneshot::channel();
        steps.send(Step { run, number, done }).map_err(|_| "the thread that writes has ended")?;
        durable.await?;
    }
    Ok(())
}

fn write(connection: &mut Connection, come: &Receiver<Step>) -> rusqlite::Result<()> {
    while let Ok(first) = come.recv() {
        let steps: Vec<Step> = std::iter::once(first).chain(come.try_iter()).collect();
        let transaction = connection.transaction()?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO step_of_run (run, number, body) VALUES (?1, ?2, ?3)")?;
        for Step { run, number, .. } in &steps {
            insert.execute(params![run, number, [b'x'; 128]])?;
        }
        drop(insert);
        transaction.commit()?;
        for step in steps {
            // A run that has failed is no longer there.
            let _ = step.done.send(());
        }
    }
    Ok(())
}
