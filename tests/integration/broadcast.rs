//! Readers of a run that may be slow or late: what always arrives, and what they are told that they miss.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use step_machine::event::{Event, EventType};
use step_machine::observe::{BroadcastObserver, Lagged, Subscription, Told, broadcast, channel_bounded};
use step_machine::{MachineBuilder, MemoryJournal, Workflow};

use crate::support::{Recorded, Trouble, line, ok};

#[derive(Workflow, Debug)]
enum Copy {
    Files,
    Check,
}
use copy::{Check, Files};

/// Every kind of news, a hundred times.
fn noisy(builder: MachineBuilder<Copy>) {
    let run = builder.begin().unwrap().step(Files, |cx| {
        let mut task = cx.task("a", "A");
        for part in 1..=100 {
            cx.message(format!("part {part}"));
            task.message(format!("part {part}"));
            cx.stdout(format!("out {part}"));
            cx.stderr(format!("err {part}"));
        }
        task.complete();
        Ok::<(), Trouble>(())
    });
    run.unwrap().step(Check, ok).unwrap().finish().unwrap();
}

fn short(told: &Told) -> String {
    match told {
        Told::Event(event) => line(event),
        Told::Lagged(Lagged { missed, step_updates, task_updates, stdout, stderr, .. }) => {
            format!("missed {missed}: {step_updates} {task_updates} {stdout} {stderr}")
        }
        other => panic!("{other:?}"),
    }
}

fn all(mut reader: Subscription) -> Vec<String> {
    reader.iter().map(|told| short(&told)).collect()
}

/// What a reader gets that begins when all is over, with room for five of the news.
const LATE: [&str; 14] = [
    "run_start",
    "step_start files",
    "task_start files",
    "missed 395: 99 99 99 98",
    "stderr files err 99",
    "step_update files info: part 100",
    "task_update files",
    "stdout files out 100",
    "stderr files err 100",
    "task_end files",
    "step_end files completed",
    "step_start check",
    "step_end check completed",
    "run_end completed",
];

#[test]
fn every_reader_gets_all_in_order_where_there_is_room() {
    let ((observer, live), seen) = (broadcast(400), Recorded::new());
    let early: Vec<_> = (0..3).map(|_| live.subscribe()).collect();
    noisy(Copy::machine().observe(observer).observe(seen.clone()));
    for reader in early.into_iter().chain([live.subscribe()]) {
        assert_eq!(all(reader), seen.lines());
    }
}

#[test]
fn a_reader_that_is_late_or_slow_gets_the_plan_and_is_told_what_it_misses() {
    let (observer, live) = broadcast(5);
    let slow = live.subscribe();
    noisy(Copy::machine().observe(observer));
    let mut late = live.subscribe();
    let Some(Told::Event(first)) = late.try_next() else { panic!("there is no first") };
    assert_eq!(first.event_type(), EventType::RunStart);
    assert_eq!(all(late), LATE[1..]);
    assert_eq!(all(slow), LATE);
    assert_eq!(all(live.subscribe()), LATE, "as often as anybody likes");
}

#[test]
fn what_is_missed_is_told_each_time() {
    let (observer, live) = broadcast(1);
    let mut reader = live.subscribe();
    let run = Copy::machine().observe(observer).begin().unwrap();
    let mut told = Vec::new();
    let mut read = |count: usize| told.extend((0..count).map_while(|_| reader.try_next()).map(|told| short(&told)));
    let run = run.step(Files, |cx| {
        read(9);
        (1..=3).for_each(|part| cx.stdout(format!("{part}")));
        read(9);
        (4..=6).for_each(|part| cx.stderr(format!("{part}")));
        read(1);
        cx.stderr("7");
        read(9);
        read(9);
        Ok::<(), Trouble>(())
    });
    drop(run.unwrap());
    read(9);
    let expected = [
        "run_start",
        "step_start files",
        "missed 2: 0 0 2 0",
        "stdout files 3",
        "missed 2: 0 0 0 2",
        "missed 1: 0 0 0 1",
        "stderr files 7",
        "step_end files completed",
        "run_end cancelled",
    ];
    assert_eq!(told, expected);
    assert_eq!(reader.try_next(), None);
}

#[test]
fn without_room_only_what_always_arrives_does() {
    let (observer, live) = broadcast(0);
    let reader = live.subscribe();
    noisy(Copy::machine().observe(observer));
    let told = all(reader);
    assert_eq!(
        told.iter().filter(|told| told.starts_with("missed")).collect::<Vec<_>>(),
        ["missed 400: 100 100 100 100"]
    );
    assert_eq!(told.len(), LATE.len() - 5);
}

#[test]
fn readers_on_threads_end_with_the_run() {
    let (observer, live) = broadcast(usize::MAX);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let mut reader = live.subscribe();
            std::thread::spawn(move || reader.iter().map(|told| short(&told)).collect::<Vec<_>>())
        })
        .collect();
    let seen = Recorded::new();
    noisy(Copy::machine().observe(observer).observe(seen.clone()));
    for reader in readers {
        assert_eq!(reader.join().unwrap(), seen.lines());
    }
}

#[test]
fn readers_that_went_away_hurt_nobody() {
    let ((observer, live), seen) = (broadcast(5), Recorded::new());
    let reader = live.subscribe();
    drop((live, reader));
    noisy(Copy::machine().observe(observer).observe(seen.clone()));
    assert_eq!(seen.len(), 408);
}

#[test]
fn a_bounded_channel_has_the_same_rule() {
    let (observer, reader) = channel_bounded(5);
    noisy(Copy::machine().observe(observer));
    assert_eq!(all(reader), LATE);

    // One that keeps up misses nothing, however small the room is.
    let ((observer, mut reader), seen) = (channel_bounded(1), Recorded::new());
    let run = Copy::machine().observe(observer).observe(seen.clone()).begin().unwrap();
    let mut told = Vec::new();
    let run = run.step(Files, |cx| {
        for part in 1..=100 {
            cx.stdout(format!("{part}"));
            told.extend(std::iter::from_fn(|| reader.try_next()).map(|told| short(&told)));
        }
        Ok::<(), Trouble>(())
    });
    run.unwrap().step(Check, ok).unwrap().finish().unwrap();
    told.extend(all(reader));
    assert_eq!(told, seen.lines());
}

#[test]
fn a_run_that_goes_on_begins_with_its_plan_as_well() {
    let journal = MemoryJournal::new();
    drop(Copy::machine().id("r").journal(journal.clone()).begin().unwrap().step(Files, ok).unwrap());
    let (observer, live) = broadcast(5);
    let run = Copy::machine().id("r").journal(journal).observe(observer).begin().unwrap();
    run.step(Files, ok).unwrap().step(Check, ok).unwrap().finish().unwrap();
    let mut reader = live.subscribe();
    let first = reader.try_next().unwrap();
    let step_machine::event::Kind::RunResume(resume) = &first.event().unwrap().kind else { panic!("{first:?}") };
    assert_eq!(resume.plan.as_ref().unwrap().steps.len(), 2);
    assert_eq!(all(reader), ["step_start check", "step_end check completed", "run_end completed"]);
}

struct Worker;

impl CopyHandler for Worker {
    type Error = Trouble;

    async fn files(&self, cx: &mut step_machine::StepContext) -> Result<(), Trouble> {
        for part in 1..=3 {
            cx.stdout(format!("out {part}"));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn check(&self, _: &mut step_machine::StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

/// The run beside its reader, which is woken for each event.
async fn beside(observer: BroadcastObserver, mut next: impl AsyncFnMut() -> Option<Told>) -> Vec<(u64, String)> {
    let begun = tokio::time::Instant::now();
    let read = async {
        let mut told = Vec::new();
        while let Some(one) = next().await {
            told.push((begun.elapsed().as_secs(), short(&one)));
        }
        told
    };
    let (ended, told) = tokio::join!(async { Copy::run(&Worker).observe(observer).await }, read);
    ended.unwrap();
    told
}

const BESIDE: [(u64, &str); 9] = [
    (0, "run_start"),
    (0, "step_start files"),
    (0, "stdout files out 1"),
    (1, "stdout files out 2"),
    (2, "stdout files out 3"),
    (3, "step_end files completed"),
    (3, "step_start check"),
    (3, "step_end check completed"),
    (3, "run_end completed"),
];

#[tokio::test(start_paused = true)]
async fn a_reader_is_woken_when_there_is_something() {
    let (observer, live) = broadcast(5);
    let mut reader = live.subscribe();
    let told = beside(observer, async || reader.next().await).await;
    assert_eq!(told, BESIDE.map(|(at, told)| (at, told.to_owned())));
    assert_eq!(reader.next().await, None, "the end stays the end");

    let (observer, live) = broadcast(5);
    let mut reader = live.subscribe();
    let stream = async || std::future::poll_fn(|context| Pin::new(&mut reader).poll_next(context)).await;
    assert_eq!(beside(observer, stream).await, BESIDE.map(|(at, told)| (at, told.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_given_up_loses_nothing() {
    let (observer, live) = broadcast(5);
    let mut reader = live.subscribe();
    let patient = async || loop {
        let next = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
        if let Ok(next) = next {
            return next;
        }
    };
    assert_eq!(beside(observer, patient).await, BESIDE.map(|(at, told)| (at, told.to_owned())));
}

#[test]
fn an_event_is_copied_once_for_all_readers() {
    let (mut observer, live) = broadcast(5);
    let mut readers: Vec<_> = (0..3).map(|_| live.subscribe()).collect();
    let event = Event::from_json(&crate::samples::sample("step_end")).unwrap();
    step_machine::Observer::event(&mut observer, &event);
    let told: Vec<_> = readers.iter_mut().map(|reader| reader.try_next().unwrap()).collect();
    let [Told::Event(a), Told::Event(b), Told::Event(c)] = &told[..] else { panic!("{told:?}") };
    assert!(Arc::ptr_eq(a, b) && Arc::ptr_eq(b, c) && **a == event);
}
