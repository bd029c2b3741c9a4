//! What the durable journals cost, beside SQLite or PostgreSQL itself in the same run.
//!
//! `cargo run --profile bench -p step-machine-durable -- chain`, `load`, `grow`, `park` or `postgres <url>`;
//! `turn` is for `../compare_durable.py`.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod bare;
mod group;
mod postgres;
mod turn;
mod workflows;

use std::alloc::System;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use step_machine::journal::{Append, Claim, RunQuery};
use step_machine::{Event, Journal, RunId, RunState, SqliteJournal, StepContext};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use workflows::{Chain10, Chain10Handler, Chain100, Chain1000, Nothing, typed_100};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the durable journals cost.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// The folder whose disk is measured
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// One run of 100 steps beside one commit a step by SQLite itself, samples taken in turn
    Chain {
        #[arg(long, default_value_t = 21)]
        samples: usize,
    },
    /// Many runs of 100 steps at once beside as many rows by SQLite itself, samples taken in turn
    Load {
        #[arg(long, default_values_t = [1, 100, 1000])]
        runs: Vec<usize>,
        #[arg(long, default_value_t = 3)]
        samples: usize,
        /// How many threads the runtime has
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// How cost grows with the steps of a run and with the runs of a file
    Grow,
    /// The memory of runs that wait
    Park {
        #[arg(long, default_value_t = 10_000)]
        runs: usize,
    },
    /// One run, and many at once, on a PostgreSQL server
    Postgres {
        /// A database that may be written to; what is made there is removed
        url: String,
        #[arg(long, default_value_t = 21)]
        samples: usize,
        #[arg(long, default_values_t = [1, 100, 1000])]
        runs: Vec<usize>,
        /// How many connections write
        #[arg(long, default_values_t = [1, 2, 4])]
        writers: Vec<usize>,
    },
    /// The turn of one contender beside durable peers: after a run that does not count, the seconds of each sample
    Turn {
        who: turn::Who,
        /// How many runs of 100 steps go at once
        #[arg(long, default_value_t = 1)]
        runs: usize,
        #[arg(long, default_value_t = 1)]
        samples: usize,
    },
}

fn main() -> Outcome {
    let options = Options::parse();
    std::fs::create_dir_all(&options.dir)?;
    let dir = tempfile::tempdir_in(&options.dir)?;
    match options.what {
        What::Chain { samples } => chain(&dir, samples),
        What::Load { runs, samples, threads } => load(&dir, &runs, samples, threads),
        What::Grow => grow(&dir),
        What::Park { runs } => park(&dir, runs),
        What::Postgres { url, samples, runs, writers } => postgres::measure(&url, samples, &runs, &writers),
        What::Turn { who, runs, samples } => turn::take(who, &dir, runs, samples),
    }
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn micros(took: Duration, steps: usize) -> f64 {
    took.as_secs_f64() * 1e6 / steps as f64
}

/// In a new file of each sample, as a command finds it whose file nobody else has open, and in one file of all samples,
/// whose log soon grows no more.
fn chain(dir: &TempDir, samples: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bare = bare::open(&dir.path().join("bare.db"))?;
    let same = bare::open(&dir.path().join("same.db"))?;
    let journal = SqliteJournal::open(dir.path().join("runs.db"))?;
    let other = SqliteJournal::open(dir.path().join("typed.db"))?;
    let body = vec![b'x'; bytes_a_step(&runtime)?];
    let mut took: [Vec<f64>; 6] = std::array::from_fn(|_| Vec::new());
    for sample in 0..samples {
        let new = bare::open(&dir.path().join(format!("bare-{sample}.db")))?;
        bare::chain(&new, 100)?;
        took[0].push(micros(bare::chain(&new, 100)?, 100));
        let new = SqliteJournal::open(dir.path().join(format!("runs-{sample}.db")))?;
        run_100(&runtime, &new)?;
        took[1].push(run_100(&runtime, &new)?);
        took[2].push(micros(bare::chain(&bare, 100)?, 100));
        took[3].push(micros(bare::chain_of(&same, 100, &body)?, 100));
        took[4].push(run_100(&runtime, &journal)?);
        let since = Instant::now();
        typed_100(other.clone())?;
        took[5].push(micros(since.elapsed(), 100));
    }
    let shares =
        |own: usize, bare: usize| median(took[own].iter().zip(&took[bare]).map(|(own, bare)| bare / own).collect());
    let (new, long, same) = (shares(1, 0), shares(4, 2), shares(4, 3));
    let (typed, typed_same) = (shares(5, 2), shares(5, 3));
    let [new_bare, new_runner, bare, same_bare, runner, machine] = took.map(median);
    println!(
        "microseconds a step of 100, medians of {samples} samples taken in turn; the share is that of the same turn"
    );
    println!("a new file, after 100 steps");
    println!("  bare rusqlite, one commit a step of 128 bytes {new_bare:>8.1}");
    println!("  runner, SqliteJournal                         {new_runner:>8.1}   {new:.2} of its speed");
    println!("a file of all samples");
    println!("  bare rusqlite, one commit a step of 128 bytes {bare:>8.1}");
    println!("  the same of {:>4} bytes, as many as our events {same_bare:>8.1}", body.len());
    println!("  runner, SqliteJournal                         {runner:>8.1}   {long:.2} and {same:.2} of their speed");
    println!(
        "  typed machine, SqliteJournal                  {machine:>8.1}   {typed:.2} and {typed_same:.2} of their speed"
    );
    Ok(())
}

/// Microseconds a step.
fn run_100(runtime: &Runtime, journal: &SqliteJournal) -> Outcome<f64> {
    let since = Instant::now();
    runtime.block_on(Chain100::run(&Nothing::default()).journal(journal.clone()).into_future())?;
    Ok(micros(since.elapsed(), 100))
}

/// How many bytes of events a step of the chain has.
fn bytes_a_step(runtime: &Runtime) -> Outcome<usize> {
    let journal = step_machine::MemoryJournal::new();
    let report = runtime.block_on(Chain100::run(&Nothing::default()).journal(journal.clone()).into_future())?;
    let events = journal.load(report.run()).wait()?;
    let texts = events[1..events.len() - 1].iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.iter().map(Vec::len).sum::<usize>() / 100)
}

/// Lets so many runs go at once; how long they took.
fn together<J: Journal + Clone + 'static>(runtime: &Runtime, journal: &J, runs: usize) -> Outcome<Duration> {
    let since = Instant::now();
    runtime.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..runs {
            let journal = journal.clone();
            set.spawn(async move { Chain100::run(&Nothing::default()).journal(journal).await.map(drop) });
        }
        while let Some(ended) = set.join_next().await {
            ended??;
        }
        Ok(since.elapsed())
    })
}

fn load(dir: &TempDir, runs: &[usize], samples: usize, threads: usize) -> Outcome {
    let runtime = runtime(threads)?;
    println!("steps a second of runs of 100 steps at once, medians of {samples} samples taken in turn");
    println!("  runs   bare rusqlite, a thread that groups commits   the runner   its share   bytes a step");
    for &runs in runs {
        let (mut bare, mut runner, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0.0;
        let speed = |took: Duration| (runs * 100) as f64 / took.as_secs_f64();
        for sample in 0..samples {
            let connection = bare::open(&dir.path().join(format!("bare-{runs}-{sample}.db")))?;
            bare.push(speed(group::together(&runtime, connection, runs)?));
            let path = dir.path().join(format!("load-{runs}-{sample}.db"));
            let journal = SqliteJournal::open(&path)?;
            runner.push(speed(together(&runtime, &journal, runs)?));
            shares.push(runner[sample] / bare[sample]);
            drop(journal);
            bytes = std::fs::metadata(&path)?.len() as f64 / (runs * 100) as f64;
        }
        let [bare, runner, share] = [bare, runner, shares].map(median);
        println!("{runs:>6}   {bare:>44.0}   {runner:>10.0}   {share:>8.2}x   {bytes:>12.0}");
    }
    Ok(())
}

fn grow(dir: &TempDir) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("steps of a run: microseconds a step; then milliseconds to load it, and to fold it");
    let journal = SqliteJournal::open(dir.path().join("long.db"))?;
    macro_rules! measure {
        ($($workflow:ident $steps:literal),*) => {$({
            let since = Instant::now();
            let report =
                runtime.block_on($workflow::run(&Nothing::default()).journal(journal.clone()).into_future())?;
            let took = micros(since.elapsed(), $steps);
            let (state, loaded, folded) = load_and_fold(&journal, report.run())?;
            assert_eq!(state.as_ref(), Some(report.state()));
            println!("{:>7}   {took:>8.1}   {loaded:>8.2} {folded:>8.2}", $steps);
        })*};
    }
    measure!(Chain10 10, Chain100 100, Chain1000 1000);
    long(&journal, 10_000)?;
    println!(
        "runs in the file: ms to open, to list what is unfinished, to load one of 100 steps, to claim one; µs a step of the next; s to prune half of them, and the rest"
    );
    for runs in [1, 100, 10_000] {
        file_of(&dir.path().join(format!("many-{runs}.db")), runs, &runtime)?;
    }
    Ok(())
}

/// Where a run stands, and the milliseconds that it took to load and to fold it.
fn load_and_fold(journal: &SqliteJournal, run: &RunId) -> Outcome<(Option<RunState>, f64, f64)> {
    let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let since = Instant::now();
    let events = journal.load(run).wait()?;
    let loaded = millis(since);
    let since = Instant::now();
    let state = RunState::fold(&events)?;
    Ok((state, loaded, millis(since)))
}

/// A run of more steps than an enum has, written event by event, two at once as a runner does.
fn long(journal: &SqliteJournal, steps: usize) -> Outcome {
    let events = events_of(steps)?;
    let lease = journal.claim(&Claim::of(&events[0].run)).wait()?.lease;
    let since = Instant::now();
    for pair in events.chunks(2) {
        journal.append(Append::new(&lease, pair)).wait()?;
    }
    let took = micros(since.elapsed(), steps);
    let (state, loaded, folded) = load_and_fold(journal, &lease.run)?;
    assert!(state.is_some_and(|state| state.steps().iter().all(|step| step.status().is_settled())));
    println!("{steps:>7}   {took:>8.1}   {loaded:>8.2} {folded:>8.2}   appended without a runner");
    Ok(())
}

fn events_of(steps: usize) -> Outcome<Vec<Event>> {
    let plan: Vec<String> = (0..steps).map(|step| format!(r#"{{"id":"s{step}","name":"S{step}"}}"#)).collect();
    let plan = format!(r#"{{"workflow":"long","steps":[{}]}}"#, plan.join(","));
    let event = |seq: usize, rest: &str| {
        let header = r#""v":1,"run":"long","workflow":"long","at":"2026-01-01T00:00:00Z","elapsed_ms":0.0"#;
        Event::from_json(&format!(r#"{{{header},"seq":{seq},{rest}}}"#))
    };
    let mut events = vec![event(1, &format!(r#""type":"run_start","plan":{plan}"#))?];
    for step in 0..steps {
        events.push(event(2 * step + 2, &format!(r#""type":"step_start","step":"s{step}","attempt":1"#))?);
        let end = r#""status":"completed","attempt":1,"duration_ms":0.0,"attempt_ms":0.0"#;
        events.push(event(2 * step + 3, &format!(r#""type":"step_end","step":"s{step}",{end}"#))?);
    }
    Ok(events)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn file_of(path: &Path, runs: usize, runtime: &Runtime) -> Outcome {
    let journal = SqliteJournal::open(path)?;
    let pattern = {
        let report = runtime.block_on(Chain100::run(&Nothing::default()).journal(journal.clone()).into_future())?;
        journal.load(report.run()).wait()?
    };
    let replies: Vec<_> = (1..runs)
        .map(|run| {
            // Every other one a day ago.
            let earlier = if run % 2 == 0 { DAY } else { Duration::ZERO };
            let run = RunId::from(format!("run-{run}"));
            let events: Vec<_> = pattern.iter().cloned().map(|event| moved(event, &run, earlier)).collect();
            let lease = journal.claim(&Claim::of(run)).wait()?.lease;
            let mut append = Append::new(&lease, &events);
            append.release = true;
            Ok(journal.append(append))
        })
        .collect::<Outcome<_>>()?;
    for reply in replies {
        reply.wait()?;
    }
    drop(journal);
    let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let since = Instant::now();
    let journal = SqliteJournal::open(path)?;
    let open = millis(since);
    let since = Instant::now();
    assert!(journal.list(&RunQuery::unfinished()).wait()?.is_empty());
    let list = millis(since);
    let run = &pattern[0].run;
    let since = Instant::now();
    assert_eq!(journal.load(run).wait()?.len(), pattern.len());
    let load = millis(since);
    let since = Instant::now();
    let lease = journal.claim(&Claim::of(run)).wait()?.lease;
    let claim = millis(since);
    journal.release(&lease).wait()?;
    let since = Instant::now();
    runtime.block_on(Chain100::run(&Nothing::default()).journal(journal.clone()).into_future())?;
    let step = micros(since.elapsed(), 100);
    let some = prune(&journal, SystemTime::now() - DAY / 2)?;
    let all = prune(&journal, SystemTime::now() + Duration::from_secs(60))?;
    assert_eq!(some.0 + all.0, runs + 1);
    println!(
        "{runs:>7}   {open:>7.2} {list:>7.2} {load:>7.2} {claim:>7.2}   {step:>7.1}   {:>7.2} ({}) {:>7.2} ({})",
        some.1, some.0, all.1, all.0
    );
    Ok(())
}

/// How many runs are removed, and the seconds that it took.
fn prune(journal: &SqliteJournal, before: SystemTime) -> Outcome<(usize, f64)> {
    let since = Instant::now();
    let removed = journal.prune(before).wait()?;
    Ok((removed, since.elapsed().as_secs_f64()))
}

/// The memory that is allocated and not freed, in bytes.
fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

fn park(dir: &TempDir, runs: usize) -> Outcome {
    let runtime = runtime(2)?;
    let journal = SqliteJournal::open(dir.path().join("parked.db"))?;
    // What is needed once is not counted.
    together(&runtime, &journal, 100)?;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let handler = std::sync::Arc::new(Nothing { gate: Some(("s5", gate.clone())), ..Nothing::default() });
    let before = in_use();
    let tasks: Vec<_> = (0..runs)
        .map(|_| {
            let (journal, handler) = (journal.clone(), handler.clone());
            runtime.spawn(async move { Chain10::run(&*handler).journal(journal).await.map(drop) })
        })
        .collect();
    while handler.waiting.load(std::sync::atomic::Ordering::Relaxed) < runs {
        std::thread::sleep(Duration::from_millis(100));
    }
    let each = (in_use() - before) / runs;
    let own = bytes_of(<Nothing as Chain10Handler>::s5);
    println!(
        "{each} bytes for each of {runs} runs of 10 steps that wait in their sixth step, with the task and its future; {own} are the body's own"
    );
    gate.add_permits(runs);
    runtime.block_on(async {
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

/// The size of the future of a body.
fn bytes_of<'a, F: Future>(_: impl FnOnce(&'a Nothing, &'a mut StepContext) -> F) -> usize {
    size_of::<F>()
}

/// The same event in another run, so much earlier.
fn moved(mut event: Event, run: &RunId, earlier: Duration) -> Event {
    event.run = run.clone();
    event.at -= earlier;
    event
}
