//! Whatever is told and read in whatever order: nothing critical is lost, the order holds, and what is missed is counted.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::event::{EVENT_VERSION, Kind, OutputLine, StepRef, StepStart, StepUpdate, TaskUpdate};

fn event(seq: u64, kind: u8) -> Event {
    let step = StepRef::new("a");
    let line = |step| OutputLine { step, line: "l".into() };
    let task = "t".into();
    let kind = match kind {
        0 => Kind::StepUpdate(Box::new(StepUpdate::of(step))),
        1 => Kind::TaskUpdate(Box::new(TaskUpdate { step, task, fraction: None, message: None, thinned: 0 })),
        2 => Kind::Stdout(line(step)),
        3 => Kind::Stderr(line(step)),
        _ => Kind::StepStart(StepStart { step, attempt: 1, interrupted: false }),
    };
    let (v, run, workflow, at) = (EVENT_VERSION, "r".into(), "w".into(), SystemTime::UNIX_EPOCH);
    Event { v, run, workflow, seq, at, elapsed: Duration::ZERO, kind, progress: None }
}

#[derive(Debug, Clone)]
enum Act {
    Tell(u8),
    /// So many steps of a reader.
    Read(prop::sample::Index, u8),
    Subscribe,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..6_u8).prop_map(Act::Tell),
        3 => (any::<prop::sample::Index>(), 1..6_u8).prop_map(|(reader, steps)| Act::Read(reader, steps)),
        1 => Just(Act::Subscribe),
    ];
    prop::collection::vec(act, 0..120)
}

/// Holds what one reader was told against what there was.
fn check(told: &[Told], all: &[Event]) -> Result<(), TestCaseError> {
    let (mut last, mut missed, mut sum) = (0, 0, Lagged::default());
    let mut got: Vec<u64> = Vec::new();
    for one in told {
        match one {
            Told::Event(event) => {
                prop_assert!(event.seq > last, "{} after {last}", event.seq);
                // What is missing before it was told before it.
                let between: Vec<_> =
                    all[usize::try_from(last).unwrap()..usize::try_from(event.seq - 1).unwrap()].into();
                prop_assert!(between.iter().all(|event| !matches!(event.kind, Kind::StepStart(_))));
                last = event.seq;
                got.push(event.seq);
            }
            Told::Lagged(lagged) => {
                prop_assert!(lagged.missed > 0);
                let kinds = lagged.step_updates + lagged.task_updates + lagged.stdout + lagged.stderr;
                prop_assert_eq!(lagged.missed, kinds);
                missed += lagged.missed;
                sum.step_updates += lagged.step_updates;
                sum.task_updates += lagged.task_updates;
                sum.stdout += lagged.stdout;
                sum.stderr += lagged.stderr;
            }
        }
    }
    prop_assert_eq!(got.len() as u64 + missed, all.len() as u64);
    let mut expected = Lagged::default();
    all.iter().filter(|event| !got.contains(&event.seq)).for_each(|event| expected.count(event.event_type()));
    prop_assert_eq!(Lagged { missed, ..sum }, expected);
    Ok(())
}

proptest! {
    #[test]
    fn nothing_critical_is_lost_and_what_is_missed_is_counted(acts in acts(), capacity in 0..8_usize, bounded: bool) {
        let (mut observer, live, mut readers) = if bounded {
            let (observer, reader) = channel_bounded(capacity);
            (observer, None, vec![(reader, Vec::new())])
        } else {
            let (observer, live) = broadcast(capacity);
            (observer, Some(live), Vec::new())
        };
        let mut all = Vec::new();
        for act in acts {
            match act {
                Act::Tell(kind) => {
                    let event = event(all.len() as u64 + 1, kind);
                    observer.event(&event);
                    all.push(event);
                }
                Act::Subscribe => {
                    readers.extend(live.iter().map(|live| (live.subscribe(), Vec::new())));
                }
                Act::Read(reader, steps) if !readers.is_empty() => {
                    let at = reader.index(readers.len());
                    let (reader, told) = &mut readers[at];
                    told.extend((0..steps).map_while(|_| reader.try_next()));
                }
                Act::Read(..) => {}
            }
        }
        drop(observer);
        readers.extend(live.iter().map(|live| (live.subscribe(), Vec::new())));
        for (mut reader, mut told) in readers {
            told.extend(reader.iter());
            check(&told, &all)?;
            prop_assert_eq!(reader.try_next(), None);
        }
    }
}

#[test]
fn what_was_read_of_a_bounded_channel_is_not_kept() {
    let (mut observer, mut reader) = channel_bounded(10);
    let mut weak = Vec::new();
    for seq in 1..=100 {
        observer.event(&event(seq, u8::try_from(seq % 6).unwrap()));
        if let Some(Told::Event(event)) = reader.try_next() {
            weak.push(Arc::downgrade(&event));
        }
    }
    assert_eq!(weak.len(), 100);
    assert!(weak.iter().all(|event| event.upgrade().is_none()));
}

#[test]
fn nothing_is_kept_where_nobody_can_read() {
    let (mut observer, reader) = channel_bounded(10);
    drop(reader);
    let first = event(1, 5);
    let taken = allocation_counter::measure(|| observer.event(&first)).count_total;
    let (mut observer, live) = broadcast(10);
    drop(live);
    assert_eq!((taken, allocation_counter::measure(|| observer.event(&first)).count_total), (0, 0));
}

#[test]
fn what_nobody_can_read_any_more_is_let_go() {
    let (observer, reader) = channel_bounded(10);
    let (news, critical) = (Arc::new(event(1, 0)), Arc::new(event(2, 4)));
    observer.room.add(news.clone());
    observer.room.add(critical.clone());
    assert_eq!((Arc::strong_count(&news), Arc::strong_count(&critical)), (2, 2));
    drop(reader);
    assert_eq!((Arc::strong_count(&news), Arc::strong_count(&critical)), (1, 1));
}
