//! A run of 100 steps in a SQLite journal, what SQLite itself takes for as many commits, and a run that goes on.
//!
//! `cargo bench -p step-machine-durable`; the table that the documents quote is printed by the program of this package.

#![allow(missing_docs, clippy::expect_used, reason = "a bench is its own reader, and stops where it cannot go on")]

#[path = "../src/bare.rs"]
mod bare;
#[path = "../src/workflows.rs"]
mod workflows;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use step_machine::{Journal, RunState, SqliteJournal};
use workflows::{Chain10, Chain100, Chain1000, Nothing, typed_100};

fn journal(c: &mut Criterion) {
    let dir = tempfile::tempdir_in("target").expect("a folder for the files");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bare = bare::open(&dir.path().join("bare.db")).expect("a database");
    let journal = SqliteJournal::open(dir.path().join("runs.db")).expect("a journal");
    let handler = Nothing::default();

    let mut group = c.benchmark_group("100 steps, each durable");
    group.throughput(Throughput::Elements(100)).sample_size(20);
    group.bench_function("bare rusqlite, one commit a step", |b| {
        b.iter(|| bare::chain(&bare, 100).expect("the disk has room"));
    });
    group.bench_function("runner", |b| {
        b.iter(|| {
            let run = Chain100::run(&handler).journal(journal.clone());
            runtime.block_on(run.into_future()).expect("the steps do nothing")
        });
    });
    group.bench_function("typed machine", |b| {
        b.iter(|| typed_100(journal.clone()).expect("the steps do nothing"));
    });
    group.finish();

    let run = |name: &str, id: &str| {
        let run = id.to_owned();
        let ended = match name {
            "10" => runtime
                .block_on(Chain10::run(&Nothing::default()).id(run).journal(journal.clone()).into_future())
                .is_ok(),
            _ => runtime
                .block_on(Chain1000::run(&Nothing::default()).id(run).journal(journal.clone()).into_future())
                .is_ok(),
        };
        assert!(ended);
    };
    let mut group = c.benchmark_group("load and fold");
    group.sample_size(20);
    for (steps, id) in [("10", "ten"), ("1000", "thousand")] {
        run(steps, id);
        group.bench_function(format!("{steps} settled steps"), |b| {
            b.iter(|| {
                let events = journal.load(&id.into()).wait().expect("it is there");
                RunState::fold(&events).expect("it is a legal run")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
