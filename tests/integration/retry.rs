//! Retries in the typed machine: the rule, the error's word, the waits.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use step_machine::event::{Kind, StepStatus};
use step_machine::time::{Clock, ManualClock};
use step_machine::{Cause, StepContext, Workflow};

use crate::support::{Recorded, TextJournal, Trouble};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    #[step(retry(attempts = 4, delay = "1s", max_delay = "3s", jitter = false))]
    Ssh,
    #[step(retry(attempts = 3, delay = "10s"))]
    CloudInit,
    Once,
    #[step(critical = false, output = u8, retry(attempts = 2, delay = "1ms", jitter = false))]
    Extra,
}

/// A manual clock that remembers how long it slept.
#[derive(Clone, Default)]
struct Sleeper {
    clock: ManualClock,
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl Sleeper {
    fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }
}

impl Clock for Sleeper {
    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    fn instant(&self) -> Instant {
        self.clock.instant()
    }

    fn sleep(&self, span: Duration) {
        self.slept.lock().unwrap().push(span);
        self.clock.sleep(span);
    }
}

/// A body that fails until its attempt number `succeeds`.
fn until(succeeds: u32) -> impl FnMut(&mut StepContext) -> Result<(), Trouble> {
    move |cx| if cx.attempt() == succeeds { Ok(()) } else { Err(Trouble::Network) }
}

/// The delays of the retries among what was seen.
fn delays(seen: &Recorded) -> Vec<Duration> {
    let delay = |event: &step_machine::Event| match &event.kind {
        Kind::StepRetry(retry) => Some(retry.delay),
        _ => None,
    };
    seen.events().iter().filter_map(delay).collect()
}

#[test]
fn a_step_is_tried_again_by_its_rule_and_sleeps_what_it_records() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step_retry(wait::Ssh, until(4)).unwrap();
    assert_eq!(
        seen.lines()[1..],
        [
            "step_start ssh",
            "step_retry ssh in 1s after network",
            "step_start ssh #2",
            "step_retry ssh #2 in 2s after network",
            "step_start ssh #3",
            "step_retry ssh #3 in 3s after network",
            "step_start ssh #4",
            "step_end ssh completed #4",
        ]
    );
    assert_eq!(clock.slept(), [1, 2, 3].map(Duration::from_secs));
    let ssh = run.state().step("ssh").unwrap();
    assert_eq!((ssh.attempts(), ssh.duration()), (4, Some(Duration::from_secs(6))));
    assert_eq!(ssh.error(), None, "a step that completed has no error left");
    let events = seen.events();
    let Kind::StepEnd(end) = &events.last().unwrap().kind else { panic!("{events:?}") };
    assert_eq!((end.duration, end.attempt_duration), (Duration::from_secs(6), Duration::ZERO));
}

#[test]
fn a_step_that_nobody_watches_leaves_the_same_behind() {
    let run = Wait::machine().clock(Sleeper::default()).begin().unwrap().step_retry(wait::Ssh, until(4)).unwrap();
    let ssh = run.state().step("ssh").unwrap();
    assert_eq!((ssh.attempts(), ssh.duration()), (4, Some(Duration::from_secs(6))));
    assert_eq!((ssh.error(), ssh.status()), (None, StepStatus::Completed));
}

#[test]
fn jitter_draws_each_wait_below_its_bound() {
    let mut all = Vec::new();
    for _ in 0..20 {
        let (seen, clock) = (Recorded::new(), Sleeper::default());
        let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
        let run = run.step_retry(wait::Ssh, until(1)).unwrap();
        drop(run.step_retry(wait::CloudInit, until(3)).unwrap());
        assert_eq!(delays(&seen), clock.slept());
        assert!(clock.slept()[0] <= Duration::from_secs(10) && clock.slept()[1] <= Duration::from_secs(20));
        all.extend(clock.slept());
    }
    let longest = all.iter().max().unwrap();
    let shortest = all.iter().min().unwrap();
    assert!(shortest < longest, "every wait was {longest:?}");
}

#[test]
fn when_all_attempts_are_used_up_the_last_error_is_the_failure() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let mut bodies = 0;
    let failure = run.step_retry(wait::Ssh, |cx| {
        bodies += 1;
        Err(if cx.attempt() == 4 { Trouble::Lost } else { Trouble::Network })
    });
    let failure = failure.unwrap_err();
    assert_eq!(bodies, 4);
    assert_eq!(failure.step(), Some(Wait::Ssh));
    assert!(matches!(failure.cause(), Cause::Error(Trouble::Lost)));
    assert_eq!(failure.context().record().attempt, 4);
    assert_eq!(failure.context().kind(), "lost");
    assert_eq!(failure.context().record().step_duration, Duration::from_secs(6));
    assert_eq!(seen.lines()[7..], ["step_start ssh #4", "step_end ssh failed #4: lost", "run_end failed"]);
}

#[test]
fn a_fatal_error_is_not_tried_again() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let failure = run
        .step_retry(wait::Ssh, |cx| Err::<(), _>(if cx.attempt() == 2 { Trouble::Template } else { Trouble::Network }));
    assert_eq!(failure.unwrap_err().context().record().attempt, 2);
    assert_eq!(clock.slept(), [Duration::from_secs(1)]);
    assert_eq!(seen.lines()[3..], ["step_start ssh #2", "step_end ssh failed #2: template", "run_end failed"]);
}

#[test]
fn an_error_that_names_its_wait_is_obeyed() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step_retry(wait::Ssh, |cx| match cx.attempt() {
        1 => Err(Trouble::Busy { wait: Duration::from_secs(77) }),
        2 => Err(Trouble::Network),
        _ => Ok(()),
    });
    drop(run.unwrap());
    assert_eq!(clock.slept(), [77, 2].map(Duration::from_secs));
    assert_eq!(seen.lines()[2], "step_retry ssh in 77s after busy");
}

#[test]
fn an_error_that_names_its_wait_gets_no_more_attempts_than_the_rule() {
    let run = Wait::machine().clock(Sleeper::default()).begin().unwrap();
    let failure = run.step_retry(wait::Ssh, |_| Err::<(), _>(Trouble::Busy { wait: Duration::ZERO }));
    assert_eq!(failure.unwrap_err().context().record().attempt, 4);
}

#[test]
fn without_a_rule_or_without_asking_a_body_runs_once() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step_retry(wait::Ssh, until(1)).unwrap().step_retry(wait::CloudInit, until(1)).unwrap();
    let failure = run.step_retry(wait::Once, until(2)).unwrap_err();
    assert_eq!(failure.context().record().attempt, 1);
    assert_eq!(seen.lines()[5..], ["step_start once", "step_end once failed: network", "run_end failed"]);

    // `step` runs its body once whatever the rule says.
    let run = Wait::machine().clock(clock.clone()).begin().unwrap();
    let failure = run.step(wait::Ssh, until(2)).unwrap_err();
    assert_eq!(failure.context().record().attempt, 1);
    assert_eq!(clock.slept(), []);
}

#[test]
fn a_non_critical_step_is_tried_again_before_the_run_goes_on_without_it() {
    let (seen, clock) = (Recorded::new(), Sleeper::default());
    let run = Wait::machine().observe(seen.clone()).clock(clock.clone()).begin().unwrap();
    let run = run.step_retry(wait::Ssh, until(1)).unwrap().step_retry(wait::CloudInit, until(1)).unwrap();
    let run = run.step(wait::Once, |_| Ok::<(), Trouble>(())).unwrap();
    let (run, output) = run.step_retry(wait::Extra, |_| Err(Trouble::Network));
    assert_eq!(output, None);
    run.finish().unwrap();
    assert_eq!(
        seen.lines()[7..],
        [
            "step_start extra",
            "step_retry extra in 1ms after network",
            "step_start extra #2",
            "step_end extra skipped #2, failed: network",
            "run_end completed, warnings: 1",
        ]
    );
}

#[test]
fn a_resumed_step_goes_on_counting_and_has_all_its_attempts_again() {
    let (journal, clock) = (TextJournal::new(), Sleeper::default());
    let builder = || Wait::machine().id("r").journal(journal.clone()).clock(clock.clone());
    drop(builder().begin().unwrap().step_retry(wait::Ssh, until(0)).unwrap_err());
    let run = builder().begin().unwrap().step_retry(wait::Ssh, until(7)).unwrap();
    let ssh = run.state().step("ssh").unwrap();
    assert_eq!((ssh.attempts(), ssh.status()), (7, StepStatus::Completed));
    assert_eq!(
        journal.lines("r")[8..],
        [
            "step_end ssh failed #4: network",
            "run_end failed",
            "run_resume",
            "step_start ssh #5",
            "step_retry ssh #5 in 1s after network",
            "step_start ssh #6",
            "step_retry ssh #6 in 2s after network",
            "step_start ssh #7",
            "step_end ssh completed #7",
        ]
    );
}

#[test]
fn progress_starts_over_with_an_attempt_and_the_bar_never_falls() {
    let seen = Recorded::new();
    let run = Wait::machine().observe(seen.clone()).clock(ManualClock::new()).begin().unwrap();
    let run = run.step_retry(wait::Ssh, |cx| {
        cx.progress(if cx.attempt() == 1 { 0.8 } else { 0.4 });
        if cx.attempt() == 1 { Err(Trouble::Network) } else { Ok(()) }
    });
    drop(run.unwrap());
    let percentages: Vec<_> = seen.events().iter().map(|event| event.progress.as_ref().unwrap().percentage).collect();
    assert_eq!(percentages, [0.0, 0.0, 20.0, 20.0, 20.0, 20.0, 25.0, 25.0]);
}
