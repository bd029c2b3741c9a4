//! The journal in PostgreSQL, beside single commits of one connection.

use std::time::Instant;

use deadpool_postgres::tokio_postgres::{Client, NoTls, connect};
use step_machine::PostgresJournal;

use super::workflows::{Chain100, Nothing, typed_100};
use super::{Outcome, median, micros, runtime, together};

const SCHEMA: &str = "step_machine_durable";

pub(crate) fn measure(url: &str, samples: usize, runs: &[usize], writers: &[usize]) -> Outcome {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bare = one.block_on(bare(url))?;
    chain(url, &one, &bare, samples)?;
    println!("steps a second of runs of 100 steps at once, medians of 3");
    for &writers in writers {
        for &runs in runs {
            load(url, runs, writers)?;
        }
    }
    one.block_on(size(&bare))?;
    one.block_on(bare.batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE")))?;
    Ok(())
}

/// A connection with a table of its own.
async fn bare(url: &str) -> Outcome<Client> {
    let (client, connection) = connect(url, NoTls).await?;
    tokio::spawn(connection);
    let made =
        format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}; SET search_path = {SCHEMA}; CREATE TABLE bare (body text)");
    client.batch_execute(&made).await?;
    Ok(client)
}

fn open(url: &str, writers: usize) -> Outcome<PostgresJournal> {
    Ok(PostgresJournal::options().schema(SCHEMA).writers(writers).open(url).wait()?)
}

fn chain(url: &str, one: &tokio::runtime::Runtime, bare: &Client, samples: usize) -> Outcome {
    let journal = open(url, 1)?;
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    let body = "x".repeat(500);
    for _ in 0..samples {
        let since = Instant::now();
        one.block_on(async {
            let insert = bare.prepare("INSERT INTO bare VALUES ($1)").await?;
            for _ in 0..100 {
                bare.execute(&insert, &[&body]).await?;
            }
            Outcome::Ok(())
        })?;
        took[0].push(micros(since.elapsed(), 100));
        let since = Instant::now();
        one.block_on(Chain100::run(&Nothing::default()).journal(journal.clone()).into_future())?;
        took[1].push(micros(since.elapsed(), 100));
        let since = Instant::now();
        typed_100(journal.clone())?;
        took[2].push(micros(since.elapsed(), 100));
    }
    let [bare, runner, machine] = took.map(median);
    println!("microseconds a step of 100, medians of {samples} samples taken in turn");
    println!("bare tokio-postgres, one commit a step   {bare:>8.1}");
    println!("runner, PostgresJournal                  {runner:>8.1}   {:.2} of its speed", bare / runner);
    println!("typed machine, PostgresJournal           {machine:>8.1}   {:.2} of its speed", bare / machine);
    Ok(())
}

/// What a step takes of the database, indexes included.
async fn size(bare: &Client) -> Outcome {
    let select = format!(
        "SELECT sum(pg_total_relation_size(c.oid))::int8 FROM pg_class AS c
        WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r' AND relname <> 'bare'"
    );
    let bytes: i64 = bare.query_one(&select, &[]).await?.try_get(0)?;
    let steps: i64 = bare.query_one("SELECT 100 * count(*) FROM run", &[]).await?.try_get(0)?;
    println!("{:.0} bytes a step in {steps} steps", bytes as f64 / steps as f64);
    Ok(())
}

fn load(url: &str, runs: usize, writers: usize) -> Outcome {
    let runtime = runtime(2)?;
    let journal = open(url, writers)?;
    let mut speeds = Vec::new();
    for _ in 0..3 {
        let took = together(&runtime, &journal, runs)?;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        speeds.push((runs * 100) as f64 / took.as_secs_f64());
    }
    println!("{writers:>3} writers {runs:>6} runs   {:>9.0} steps/s", median(speeds));
    Ok(())
}
