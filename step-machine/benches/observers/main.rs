//! What an observer costs an event, and what a step costs that tells its progress a hundred thousand times a second.
//!
//! `cargo bench -p step-machine --all-features --bench observers`. Whole runs of the typed machine, samples taken in
//! turn, medians. The first figure of an observer is the run with it over the run without any, which includes the making of
//! the events; the second is what it takes beyond one that does nothing. What readers read is outside of the timed part.
//! Another observer is another line of `contenders`. A log and a screen each have a thread, which begins and ends with the
//! run: of a run as short as these that is most of what they cost.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod fast;

use std::any::Any;
use std::hint::black_box;
use std::io;
use std::time::Instant;

use metrics_exporter_prometheus::PrometheusBuilder;
use step_machine::observe::{
    JsonLines, Metrics, PlainLog, ProgressBar, Tracing, broadcast, callbacks, channel, channel_bounded,
};
use step_machine::{MachineBuilder, Observer, StepContext, Workflow};

const SAMPLES: usize = 400;

/// An observer, and what has to live as long as the run beside it.
type Made = (Box<dyn Observer>, Box<dyn Any>);

type Contender = (&'static str, fn() -> Made);

/// What is measured, first of all what does nothing.
fn contenders() -> Vec<Contender> {
    vec![
        ("does nothing", || alone(Nothing)),
        ("callback, any event", || alone(callbacks().on_any(|event| assert!(black_box(event.seq) > 0)))),
        ("callbacks, on_status", || alone(callbacks().on_status(|line| drop(black_box(line.to_string()))))),
        ("callbacks, on_verbose", || alone(callbacks().on_verbose(|line| drop(black_box(line.to_string()))))),
        ("channel", || beside(channel())),
        ("channel_bounded, full", || beside(channel_bounded(16))),
        ("broadcast, no reader", || beside(broadcast(1_024))),
        ("broadcast, one reader", || {
            let (observer, live) = broadcast(1_024);
            beside((observer, (live.subscribe(), live)))
        }),
        ("JSON lines, memory", || alone(JsonLines::new(Vec::new()))),
    ]
}

/// Those whose threads and registries the others are not to be measured beside.
fn heavier() -> Vec<Contender> {
    vec![
        ("does nothing", || alone(Nothing)),
        ("plain log, nowhere", || alone(PlainLog::new(io::sink()))),
        ("screen, nowhere", || alone(ProgressBar::terminal(io::sink(), || (80, 24)))),
        ("tracing, no subscriber", || alone(Tracing::new())),
        ("tracing, registry", || {
            let subscriber = tracing_subscriber::registry();
            beside((Tracing::new(), tracing::subscriber::set_default(subscriber)))
        }),
        ("metrics, Prometheus", || alone(Metrics::new())),
    ]
}

fn alone(observer: impl Observer + 'static) -> Made {
    beside((observer, ()))
}

fn beside<O: Observer + 'static, R: 'static>((observer, reader): (O, R)) -> Made {
    (Box::new(observer), Box::new(reader))
}

struct Nothing;

impl Observer for Nothing {}

/// Ten steps with all that a body usually tells.
#[derive(Workflow)]
enum Ten {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
}

/// `run_start`, the begin and end of ten steps and four news of each, `run_end`.
const EVENTS: f64 = 62.0;

#[expect(clippy::unnecessary_wraps, reason = "a body gives a `Result`")]
fn body(cx: &mut StepContext) -> io::Result<()> {
    cx.message("copying");
    cx.progress(0.5);
    cx.stdout("a line of some length, as commands write them");
    cx.metadata("files", 3);
    Ok(())
}

fn drive(builder: MachineBuilder<Ten>) -> io::Result<()> {
    use ten::{A, B, C, D, E, F, G, H, I, J};
    let run = builder.begin().map_err(io::Error::other)?;
    let run = run.step(A, body).map_err(io::Error::other)?.step(B, body).map_err(io::Error::other)?;
    let run = run.step(C, body).map_err(io::Error::other)?.step(D, body).map_err(io::Error::other)?;
    let run = run.step(E, body).map_err(io::Error::other)?.step(F, body).map_err(io::Error::other)?;
    let run = run.step(G, body).map_err(io::Error::other)?.step(H, body).map_err(io::Error::other)?;
    let run = run.step(I, body).map_err(io::Error::other)?.step(J, body).map_err(io::Error::other)?;
    run.finish().map(drop).map_err(io::Error::other)
}

/// Nanoseconds of a run, over a batch that the clock can tell.
fn sample(make: Option<fn() -> Made>) -> f64 {
    let batch: Vec<Option<Made>> = (0..10).map(|_| make.map(|make| make())).collect();
    let mut readers = Vec::with_capacity(10);
    let begun = Instant::now();
    for made in batch {
        let builder = match made {
            Some((observer, reader)) => {
                readers.push(reader);
                Ten::machine().observe(observer)
            }
            None => Ten::machine(),
        };
        drive(builder).expect("nothing to fail on");
    }
    let took = begun.elapsed().as_secs_f64() * 1e9 / 10.0;
    drop(readers);
    took
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn allocations(make: fn() -> Made) -> f64 {
    let (observer, _reader) = make();
    allocation_counter::measure(|| drive(Ten::machine().observe(observer)).expect("nothing to fail on")).count_total
        as f64
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let samples = if is_test { 2 } else { SAMPLES };
    measure(&contenders(), samples);
    fast::measure(is_test);
    // For the observer of metrics; nobody else asks for it.
    PrometheusBuilder::new().install_recorder().expect("there is no other one");
    measure(&heavier(), samples);
}

fn measure(contenders: &[Contender], samples: usize) {
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); contenders.len() + 1];
    for _ in 0..samples {
        taken[0].push(sample(None));
        for (kept, (_, make)) in taken[1..].iter_mut().zip(contenders) {
            kept.push(sample(Some(*make)));
        }
    }
    let mut medians = taken.into_iter().map(median);
    let without = medians.next().unwrap_or_default();
    let nothing = contenders[0].1;
    let (mut least, fewest) = (None, allocations(nothing));
    println!("medians of {samples} samples | ns an event | beyond nothing | allocations an event, beyond nothing");
    for ((name, make), median) in contenders.iter().zip(medians) {
        let least = *least.get_or_insert(median);
        let (all, own) = ((median - without) / EVENTS, (median - least) / EVENTS);
        println!("{name:23} | {all:11.0} | {own:14.0} | {:.2}", (allocations(*make) - fewest) / EVENTS);
    }
}
