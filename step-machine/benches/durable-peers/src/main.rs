//! What other durable workflows take for a step, on the same disk as ours.
//!
//! `../compare_durable.py` runs this beside the program of `../durable` and prints both. One call is the turn of one
//! contender: it opens a store in a folder of its own, lets one run go that does not count, and then prints for each
//! sample how many seconds so many runs took at once.

#![recursion_limit = "512"]
#![allow(clippy::unused_async, reason = "a step is async also where it has nothing to wait for")]

mod apalis;
mod cano;
mod duroxide;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apalis::Store;
use clap::{Parser, ValueEnum};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many steps a run has.
const STEPS: usize = 100;

/// The steps that were run.
static DONE: AtomicUsize = AtomicUsize::new(0);

/// The turn of one contender.
#[derive(Parser)]
struct Options {
    /// Whose turn it is
    who: Who,
    /// How many runs go at once
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// How many samples to take
    #[arg(long, default_value_t = 1)]
    samples: usize,
    /// The folder whose disk is measured
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Who {
    Cano,
    /// With its defaults
    Duroxide,
    /// With the interval that its guide names for SQLite
    DuroxideTenMs,
    /// As its examples set it up
    Apalis,
    /// With one connection
    ApalisOne,
    /// With one connection, every commit waited for
    ApalisOneFull,
}

/// What is kept between the samples of a turn.
trait Contender: Send {
    /// Lets so many runs go at once, each with a name that begins with this one; how long they took.
    fn sample(&mut self, name: &str, runs: usize) -> impl Future<Output = Outcome<Duration>> + Send;
}

fn main() -> Outcome {
    let options = Options::parse();
    std::fs::create_dir_all(&options.dir)?;
    let dir = tempfile::tempdir_in(&options.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // A task of the runtime: what waits in `block_on` is on none of its workers.
    let path = dir.path().to_owned();
    runtime.block_on(async { runtime.spawn(async move { turn(&options, &path).await }).await? })
}

async fn turn(options: &Options, dir: &Path) -> Outcome {
    match options.who {
        Who::Cano => samples(options, cano::open(dir)?).await,
        Who::Duroxide => samples(options, duroxide::open(dir, None).await?).await,
        Who::DuroxideTenMs => samples(options, duroxide::open(dir, Some(Duration::from_millis(10))).await?).await,
        Who::Apalis => samples(options, apalis::open(dir, Store::AsItsExamples).await?).await,
        Who::ApalisOne => samples(options, apalis::open(dir, Store::OneConnection).await?).await,
        Who::ApalisOneFull => samples(options, apalis::open(dir, Store::OneConnectionFull).await?).await,
    }
}

async fn samples<C: Contender>(options: &Options, mut contender: C) -> Outcome {
    sample(&mut contender, "warm-up", 1).await?;
    for number in 0..options.samples {
        let took = sample(&mut contender, &format!("sample-{number}"), options.runs).await?;
        println!("{}", took.as_secs_f64());
    }
    Ok(())
}

/// A sample in which every step was run; some peers say that this may be more than once.
async fn sample<C: Contender>(contender: &mut C, name: &str, runs: usize) -> Outcome<Duration> {
    DONE.store(0, Ordering::Relaxed);
    let took = contender.sample(name, runs).await?;
    let done = DONE.load(Ordering::Relaxed);
    if done >= runs * STEPS { Ok(took) } else { Err(format!("{done} steps of {runs} runs were run").into()) }
}

/// What a step does.
fn work() -> usize {
    DONE.fetch_add(1, Ordering::Relaxed) + 1
}
