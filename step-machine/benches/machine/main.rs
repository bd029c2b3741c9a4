//! The typed machine in memory against the sequence that one would write by hand.
//!
//! The hand-written sequence does what the budget's reference does: it reads the clock before and after each step and
//! keeps both times. Run with `cargo bench -p step-machine --bench machine`.

#![allow(missing_docs, clippy::expect_used, reason = "a bench is its own reader, and stops where it cannot go on")]

mod steps;

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use step_machine::{Observer, StepContext};
use steps::{Hundred, Ten, drive_hundred, drive_ten};

/// What a step does: too little to matter, too much to be removed.
#[inline(never)]
fn work(value: &mut u64) -> Result<(), io::Error> {
    *value = black_box(*value).wrapping_mul(31).wrapping_add(7);
    if black_box(false) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
}

/// The reference: two clock readings a step, both kept.
#[inline(never)]
fn by_hand(steps: usize, times: &mut Vec<(Duration, Duration)>, value: &mut u64) -> Result<(), io::Error> {
    times.clear();
    let origin = Instant::now();
    for _ in 0..steps {
        let start = origin.elapsed();
        work(value)?;
        times.push((start, origin.elapsed()));
    }
    Ok(())
}

struct Nothing;

impl Observer for Nothing {}

fn machine(c: &mut Criterion) {
    ten(&mut c.benchmark_group("10 steps"));
    hundred(&mut c.benchmark_group("100 steps"));
    allocations();
}

fn reference(group: &mut BenchmarkGroup<'_, WallTime>, steps: usize) {
    group.throughput(Throughput::Elements(steps as u64));
    let (mut times, mut value) = (Vec::with_capacity(steps), 1);
    group.bench_function("by hand", |b| b.iter(|| by_hand(steps, &mut times, &mut value)));
}

fn ten(group: &mut BenchmarkGroup<'_, WallTime>) {
    reference(group, 10);
    let mut value = 1;
    let mut body = |_: &mut StepContext| work(&mut value);
    group.bench_function("machine", |b| b.iter(|| drive_ten(Ten::machine(), &mut body)));
    group.bench_function("machine, one observer", |b| b.iter(|| drive_ten(Ten::machine().observe(Nothing), &mut body)));
}

fn hundred(group: &mut BenchmarkGroup<'_, WallTime>) {
    reference(group, 100);
    let mut value = 1;
    let mut body = |_: &mut StepContext| work(&mut value);
    group.bench_function("machine", |b| b.iter(|| drive_hundred(Hundred::machine(), &mut body)));
    group.bench_function("machine, one observer", |b| {
        b.iter(|| drive_hundred(Hundred::machine().observe(Nothing), &mut body));
    });
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
