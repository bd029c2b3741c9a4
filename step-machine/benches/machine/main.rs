//! The typed machine in memory against the sequence that one would write by hand.
//!
//! By hand the clock is read before and after each step and both times are kept; with a record it is also noted when it
//! all began and what it took, in memory of its own, as a run of the machine does. The samples of the ways are taken in
//! turn, so that a machine whose speed drifts weighs on all alike. Run with
//! `cargo bench -p step-machine --bench machine`.

#![allow(missing_docs, clippy::expect_used, reason = "a bench is its own reader, and stops where it cannot go on")]

mod steps;

use std::hint::black_box;
use std::io;
use std::time::Instant;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use step_machine::observe::JsonLines;
use step_machine::{Observer, StepContext};
use steps::{
    Hundred, Ten, drive_hundred, drive_ten, hundred_by_hand, hundred_with_record, ten_by_hand, ten_with_record,
};

/// What a step does: too little to matter, too much to be removed.
#[inline(never)]
fn work(value: &mut u64) -> Result<(), io::Error> {
    *value = black_box(*value).wrapping_mul(31).wrapping_add(7);
    if black_box(false) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
}

struct Nothing;

impl Observer for Nothing {}

fn machine(c: &mut Criterion) {
    ratios();
    allocations();
    ten(&mut c.benchmark_group("10 steps"));
    hundred(&mut c.benchmark_group("100 steps"));
}

fn ten(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.throughput(Throughput::Elements(10));
    let (mut times, mut value) = (Vec::with_capacity(10), 1);
    group.bench_function("by hand", |b| b.iter(|| ten_by_hand(&mut times, || work(&mut value))));
    group.bench_function("by hand, with a record", |b| b.iter(|| ten_with_record(|| work(&mut value))));
    let mut body = |_: &mut StepContext| work(&mut value);
    group.bench_function("machine", |b| b.iter(|| drive_ten(Ten::machine(), &mut body)));
    group.bench_function("machine, one observer", |b| b.iter(|| drive_ten(Ten::machine().observe(Nothing), &mut body)));
}

fn hundred(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.throughput(Throughput::Elements(100));
    let (mut times, mut value) = (Vec::with_capacity(100), 1);
    group.bench_function("by hand", |b| b.iter(|| hundred_by_hand(&mut times, || work(&mut value))));
    group.bench_function("by hand, with a record", |b| b.iter(|| hundred_with_record(|| work(&mut value))));
    let mut body = |_: &mut StepContext| work(&mut value);
    group.bench_function("machine", |b| b.iter(|| drive_hundred(Hundred::machine(), &mut body)));
    group.bench_function("machine, one observer", |b| {
        b.iter(|| drive_hundred(Hundred::machine().observe(Nothing), &mut body));
    });
}

/// The budget's figures in one go: medians of samples that are taken in turn.
fn ratios() {
    let mut value = 1;
    let (mut ten_times, mut hundred_times) = (Vec::with_capacity(10), Vec::with_capacity(100));
    let mut samples: [Vec<f64>; 9] = Default::default();
    for _ in 0..2_000 {
        let mut work = || work(&mut value);
        let taken = [
            nanos(|| drop(ten_by_hand(&mut ten_times, &mut work))),
            nanos(|| drop(ten_with_record(&mut work))),
            nanos(|| drop(drive_ten(Ten::machine(), |_| work()))),
            nanos(|| drop(drive_ten(Ten::machine().observe(Nothing), |_| work()))),
            nanos(|| drop(hundred_by_hand(&mut hundred_times, &mut work))),
            nanos(|| drop(hundred_with_record(&mut work))),
            nanos(|| drop(drive_hundred(Hundred::machine(), |_| work()))),
            nanos(|| drop(drive_hundred(Hundred::machine().observe(Nothing), |_| work()))),
            nanos(|| drop(drive_hundred(Hundred::machine().observe(JsonLines::new(Vec::new())), |_| work()))),
        ];
        for (kept, sample) in samples.iter_mut().zip(taken) {
            kept.push(sample);
        }
    }
    let [hand_10, record_10, machine_10, seen_10, hand_100, record_100, machine_100, seen_100, json] =
        samples.map(median);
    println!("medians, ns            | by hand | with a record | machine | observed |");
    println!("run of 10 steps        | {hand_10:7.0} | {record_10:13.0} | {machine_10:7.0} | {seen_10:8.0} |");
    println!("run of 100 steps       | {hand_100:7.0} | {record_100:13.0} | {machine_100:7.0} | {seen_100:8.0} |");
    let (hand, machine) = ((hand_100 - hand_10) / 90.0, (machine_100 - machine_10) / 90.0);
    println!(
        "a step, by the slope   | {hand:7.1} |               | {machine:7.1} |          | ratio {:.2}",
        machine / hand
    );
    println!(
        "a run against a record: 10 steps {:.2}, 100 steps {:.2}",
        machine_10 / record_10,
        machine_100 / record_100
    );
    // run_start, two events a step, run_end.
    println!("an observer that does nothing: {:.1} ns an event", (seen_100 - machine_100) / 202.0);
    println!("JSON lines into memory: {:.0} ns an event", (json - machine_100) / 202.0);
}

/// The time of one run, over a batch that the clock can tell.
fn nanos(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..20 {
        run();
    }
    start.elapsed().as_secs_f64() * 1e9 / 20.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Allocations of whole runs; what 100 steps take beyond 10 is what steps take.
fn allocations() {
    let mut value = 1;
    let mut body = |_: &mut StepContext| work(&mut value);
    // The plans are built once for the process.
    drive_ten(Ten::machine(), &mut body);
    drive_hundred(Hundred::machine(), &mut body);
    let ten = allocation_counter::measure(|| drop(drive_ten(Ten::machine(), &mut body)));
    let hundred = allocation_counter::measure(|| drop(drive_hundred(Hundred::machine(), &mut body)));
    println!("allocations of a run of 10 steps: {}, of 100 steps: {}", ten.count_total, hundred.count_total);
}

criterion_group!(benches, machine);
criterion_main!(benches);
