//! What the clock is asked, and the times on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use step_machine::event::Kind;
use step_machine::time::{Clock, ManualClock};
use step_machine::{StepContext, Workflow};

use crate::support::{Recorded, Trouble, ok};

#[derive(Workflow)]
enum Weighted {
    #[step(weight = 10)]
    Light,
    #[step(weight = 50)]
    Heavy,
    #[step(weight = 40)]
    Middle,
}

/// A clock that counts how often it is asked.
#[derive(Clone, Default)]
struct Counting {
    instants: Arc<AtomicUsize>,
    walls: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn wall(&self) -> SystemTime {
        self.walls.fetch_add(1, Ordering::Relaxed);
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        self.instants.fetch_add(1, Ordering::Relaxed);
        Instant::now()
    }

    fn sleep(&self, _: Duration) {
        panic!("nothing here waits");
    }
}

impl Counting {
    fn instants(&self) -> usize {
        self.instants.load(Ordering::Relaxed)
    }
}

#[test]
fn a_step_reads_the_clock_once_at_its_start_and_once_at_its_end() {
    for watched in [false, true] {
        let clock = Counting::default();
        let builder = Weighted::machine().clock(clock.clone());
        let builder = if watched { builder.observe(Recorded::new()) } else { builder };
        let run = builder.begin().unwrap();
        let before = clock.instants();
        let inside = |_: &mut StepContext| {
            assert_eq!(clock.instants(), before + 1);
            Ok::<(), Trouble>(())
        };
        let run = run.step(weighted::Light, inside).unwrap();
        assert_eq!(clock.instants(), before + 2);
        let run = run.step(weighted::Heavy, ok).unwrap().step(weighted::Middle, ok).unwrap();
        assert_eq!(clock.instants(), before + 6);
        run.finish().unwrap();
        assert_eq!(clock.instants(), before + 7);
        assert_eq!(clock.walls.load(Ordering::Relaxed), 1, "the time of day is read once, when the run begins");
    }
}

#[test]
fn times_are_those_of_the_clock_to_the_nanosecond() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let started = clock.wall();
    let takes = |span: Duration| {
        let clock = clock.clone();
        move |_: &mut StepContext| {
            clock.advance(span);
            Ok::<(), Trouble>(())
        }
    };
    let run = Weighted::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step(weighted::Light, takes(Duration::from_nanos(1_500_000_001))).unwrap();
    clock.advance(Duration::from_secs(1));
    let run = run.step(weighted::Heavy, takes(Duration::from_millis(20))).unwrap();
    let report = run.step(weighted::Middle, takes(Duration::ZERO)).unwrap().finish().unwrap();

    assert_eq!(report.duration(), Duration::from_nanos(2_520_000_001));
    assert_eq!(report.state().started_at(), started);
    let step = report.state().step("heavy").unwrap();
    assert_eq!(step.started(), Some(Duration::from_nanos(2_500_000_001)));
    assert_eq!(step.duration(), Some(Duration::from_millis(20)));
    let events = seen.events();
    let Kind::StepEnd(end) = &events[2].kind else { panic!("{:?}", events[2]) };
    assert_eq!(end.duration, Duration::from_nanos(1_500_000_001));
    assert_eq!(end.attempt_duration, end.duration);
    // The time of day of an event is cut to microseconds.
    assert_eq!(events[2].at, started + Duration::from_millis(1_500));
    assert_eq!(events[2].elapsed, Duration::from_nanos(1_500_000_001));
}

#[test]
fn the_time_that_remains_follows_from_what_is_done() {
    let (seen, clock) = (Recorded::new(), ManualClock::new());
    let run = Weighted::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step(weighted::Light, |_| {
        clock.advance(Duration::from_secs(10));
        Ok::<(), Trouble>(())
    });
    drop(run.unwrap());
    let etas: Vec<_> = seen.events().iter().map(|event| event.progress.as_ref().unwrap().eta).collect();
    // A tenth took 10 s; a run that is over has no time left to speak of.
    assert_eq!(etas, [None, None, Some(Duration::from_secs(90)), None]);
}
