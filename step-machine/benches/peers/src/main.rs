//! The runner beside other runners of workflows: steps that do nothing, in memory, in one process.
//!
//! ```sh
//! cargo run --release -p step-machine-peers
//! cargo run --release -p step-machine-peers -- --samples 300 --only dagx
//! cargo run -p step-machine-peers -- --samples 1   # no figures: counts that every contender runs every step
//! ```
//!
//! Each case is a workflow of so many steps, in a chain or without any dependency. All contenders have the same steps,
//! which return `Ok` and nothing else, and keep no journal and tell no observer where that can be left out. Each runs
//! on a runtime of one thread and on one of two workers, always as a spawned task. The samples of all of them are taken
//! in turn, so that a machine whose speed drifts weighs on all alike. What is printed are medians, in time a step, and
//! their ratio to the sequence that one would write by hand.
//!
//! What can be built once and run many times is built outside of the timed part. Where a peer's interface does not
//! allow that, it stands in the table twice: once without what a run needs before it can start, and once with it.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]
#![allow(clippy::unused_async, reason = "a step is async also where it has nothing to wait for")]

mod by_hand;
mod cano;
mod dagrs;
mod dagx;
mod ours;
mod steno;
mod table;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use table::Row;

const CASES: [Case; 4] = [Case::Chain(10), Case::Chain(100), Case::Chain(1_000), Case::Roots(100)];

/// How many steps a sample has, if need be of several runs: enough for the clock to tell.
const STEPS_A_SAMPLE: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Each step after the one before it.
    Chain(usize),
    /// All steps at once.
    Roots(usize),
}

impl Case {
    fn steps(self) -> usize {
        let (Self::Chain(steps) | Self::Roots(steps)) = self;
        steps
    }

    fn runs(self) -> usize {
        (STEPS_A_SAMPLE / self.steps()).max(1)
    }
}

struct Contender {
    name: &'static str,
    /// What is inside of the timed part.
    timed: &'static str,
    /// Builds what can be built once; or says why the contender has no such case.
    prepare: fn(Case) -> Result<Runs, &'static str>,
}

/// Runs the workflow so many times, and gives what the timed parts took.
type Runs = Box<dyn Fn(usize) -> Sample>;
type Sample = Pin<Box<dyn Future<Output = Duration> + Send>>;

/// What has to be done before each run of a workflow that does not allow a second one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Timed,
    Untimed,
}

/// What a step does: nothing, which the compiler does not know.
#[inline(never)]
fn work() -> Result<(), Infallible> {
    if cfg!(debug_assertions) {
        DONE.fetch_add(1, Ordering::Relaxed);
    }
    black_box(Ok(()))
}

/// The steps that were run; counted in debug builds, where nothing is to be learnt from the times.
static DONE: AtomicUsize = AtomicUsize::new(0);

#[derive(Parser)]
#[command(about = "step-machine beside other runners of workflows in memory")]
struct Arguments {
    /// How many samples of each contender to take
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Only the contenders with this in their name, beside the sequence by hand
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let runtimes = [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.worker_threads(2).enable_all().build().expect("a runtime"));
    let contenders = contenders(arguments.only.as_deref());
    println!("medians of {} samples, taken in turn; ratios to `{}`", arguments.samples, by_hand::NAME);
    for case in CASES {
        let mut rows: Vec<Row> = contenders.iter().map(|contender| Row::new(contender, case)).collect();
        warm_up(&rows, &runtimes, case);
        for _ in 0..arguments.samples {
            take_turns(&mut rows, &runtimes, case);
        }
        table::print(case, &rows);
    }
    table::print_timed(&contenders);
}

/// All of them, or the sequence by hand and those whose name matches.
fn contenders(only: Option<&str>) -> Vec<Contender> {
    let mut all = vec![
        by_hand::sequence(),
        by_hand::join_set(),
        ours::runner(),
        ours::runner_of_tasks(),
        ours::typed(),
        cano::contender(),
    ];
    all.extend(dagx::contenders());
    all.extend(dagrs::contenders());
    all.extend(steno::contenders());
    all.retain(|one| one.name == by_hand::NAME || only.is_none_or(|only| one.name.contains(only)));
    all
}

fn warm_up(rows: &[Row], runtimes: &[Runtime; 2], case: Case) {
    for row in rows {
        let Ok(runs) = &row.runs else { continue };
        for runtime in runtimes {
            DONE.store(0, Ordering::Relaxed);
            sample(runtime, runs, case);
            let expected = case.steps() * (1 + case.runs());
            if cfg!(debug_assertions) {
                assert_eq!(DONE.load(Ordering::Relaxed), expected, "steps that {} ran", row.name);
            }
        }
    }
}

fn take_turns(rows: &mut [Row], runtimes: &[Runtime; 2], case: Case) {
    for (at, runtime) in runtimes.iter().enumerate() {
        for row in &mut *rows {
            let Ok(runs) = &row.runs else { continue };
            row.samples[at].push(sample(runtime, runs, case));
        }
    }
}

/// Nanoseconds a step, after a run that does not count: those before have filled the caches with other code.
fn sample(runtime: &Runtime, runs: &Runs, case: Case) -> f64 {
    spawned(runtime, runs(1));
    let took = spawned(runtime, runs(case.runs()));
    #[allow(clippy::cast_precision_loss, reason = "a few thousand steps")]
    let steps = (case.steps() * case.runs()) as f64;
    took.as_secs_f64() * 1e9 / steps
}

/// The runs are a task of the runtime: what waits in `block_on` is on none of its workers.
fn spawned(runtime: &Runtime, sample: Sample) -> Duration {
    runtime.block_on(runtime.spawn(sample)).expect("no contender panics")
}
