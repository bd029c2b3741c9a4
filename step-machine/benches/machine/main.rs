//! The typed machine in memory against the sequence that one would write by hand.
//!
//! The hand-written sequence reads the clock before and after each step and keeps both times; with a record it also
//! notes when it began and what it took, in memory of its own. Run with `cargo bench -p step-machine --bench machine`.

#![allow(missing_docs, clippy::expect_used, reason = "a bench is its own reader, and stops where it cannot go on")]

mod steps;

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant, SystemTime};

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

/// What a command keeps that wants to tell afterwards when it began, what its steps took, and what all of it took.
struct Kept {
    started_at: SystemTime,
    times: Vec<(Duration, Duration)>,
    took: Duration,
}

/// The reference with a record of its own, as a run of the machine leaves one.
#[inline(never)]
fn by_hand_with_record(steps: usize, value: &mut u64) -> Result<Box<Kept>, io::Error> {
    let mut kept =
        Box::new(Kept { started_at: SystemTime::now(), times: Vec::with_capacity(steps), took: Duration::ZERO });
    let origin = Instant::now();
    for _ in 0..steps {
        let start = origin.elapsed();
        work(value)?;
        kept.times.push((start, origin.elapsed()));
    }
    kept.took = origin.elapsed();
    black_box((kept.started_at, kept.took));
    Ok(kept)
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
    group.bench_function("by hand, with a record", |b| b.iter(|| by_hand_with_record(steps, &mut value)));
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
