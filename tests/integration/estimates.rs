//! How well the rest of a run is estimated by what earlier runs took.

use std::time::Duration;

use step_machine::event::Event;
use step_machine::time::ManualClock;
use step_machine::{Journal, JournalError, MemoryJournal, Workflow};

use crate::support::Recorded;

/// The eight steps of a deployment under these weights, and how it is run.
macro_rules! deployment {
    ($module:ident, $doc:literal, $($weight:literal),*) => {
        #[doc = $doc]
        mod $module {
            use super::*;

            deployment!(@steps $($weight),*);

            /// Runs a deployment whose steps take these spans; its events.
            pub(super) fn run(spans: &[f64; 8], id: &str, bench: &Bench, has_history: bool) -> Vec<Event> {
                use deploy::*;
                let Bench { journal, clock } = bench;
                let seen = Recorded::new();
                let take = |step: usize| {
                    clock.advance(Duration::from_secs_f64(spans[step]));
                    Ok::<(), std::io::Error>(())
                };
                let builder = Deploy::machine().id(id).journal(journal.clone()).clock(clock.clone()).observe(seen.clone());
                let builder = if has_history { builder.estimate_from_history() } else { builder };
                let run = builder.begin().unwrap();
                let run = run.step(ValidateEnvironment, |_| take(0)).unwrap();
                let run = run.step(BackupCurrentVersion, |_| take(1)).unwrap();
                // The long one tells how far it is.
                let run = run.step(Download, |cx| quarters(spans[2], clock, |done| cx.progress(done))).unwrap();
                let run = run.step(Extract, |_| take(3)).unwrap();
                let run = run.step(Configure, |_| take(4)).unwrap();
                let run = run.step(SetPermissions, |_| take(5)).unwrap();
                let run = run.step(StartService, |_| take(6)).unwrap();
                run.step(HealthCheck, |_| take(7)).unwrap().finish().unwrap();
                seen.events()
            }
        }
    };
    (@steps $a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal, $g:literal, $h:literal) => {
        #[derive(Workflow)]
        #[workflow(name = "deploy")]
        enum Deploy {
            #[step(weight = $a)]
            ValidateEnvironment,
            #[step(weight = $b)]
            BackupCurrentVersion,
            #[step(weight = $c)]
            Download,
            #[step(weight = $d)]
            Extract,
            #[step(weight = $e)]
            Configure,
            #[step(weight = $f)]
            SetPermissions,
            #[step(weight = $g)]
            StartService,
            #[step(weight = $h)]
            HealthCheck,
        }
    };
}

deployment!(guessed, "Under the weights that the example `deploy` has.", 1, 2, 4, 2, 1, 1, 5, 5);
deployment!(exact, "Under weights that are what the steps take.", 8, 60, 240, 70, 5, 15, 50, 120);

/// What the steps take in seconds, in the middle.
const MEDIANS: [f64; 8] = [0.8, 6.0, 24.0, 7.0, 0.5, 1.5, 5.0, 12.0];

/// Where runs follow each other.
#[derive(Default)]
struct Bench {
    journal: MemoryJournal,
    clock: ManualClock,
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// Above 0, up to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "what is left of the number is exact")]
        let share = ((mixed ^ (mixed >> 31)) >> 11) as f64;
        (share + 1.0) / 9_007_199_254_740_992.0
    }

    /// Of the normal distribution.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.roll().ln()).sqrt() * (std::f64::consts::TAU * self.roll()).cos()
    }
}

fn quarters(span: f64, clock: &ManualClock, mut told: impl FnMut(f64)) -> Result<(), std::io::Error> {
    for quarter in 1..=4 {
        clock.advance(Duration::from_secs_f64(span / 4.0));
        told(f64::from(quarter) / 4.0);
    }
    Ok(())
}

/// By how much the last estimate before the middle of the run is wrong, as a share of what really remained.
fn error_at_half_way(events: &[Event]) -> f64 {
    let total = events.last().unwrap().elapsed.as_secs_f64();
    let before = events.iter().take_while(|event| event.elapsed.as_secs_f64() <= total / 2.0);
    let (elapsed, eta) = before
        .filter_map(|event| Some((event.elapsed, event.progress.as_ref()?.eta?)))
        .last()
        .expect("an estimate before the middle");
    let remaining = total - elapsed.as_secs_f64();
    (eta.as_secs_f64() - remaining).abs() / remaining
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

type Run = fn(&[f64; 8], &str, &Bench, bool) -> Vec<Event>;

/// The errors of 200 runs, by the weights alone and by the history. Each step varies by `spread`, each run as a whole by
/// `pace`, both as the deviation of a logarithm; over all runs everything becomes slower by `drift`.
fn measure(run: Run, spread: f64, pace: f64, drift: f64) -> (f64, f64) {
    const RUNS: u32 = 200;
    let mut dice = Dice(42);
    let bench = Bench::default();
    let (mut by_weights, mut by_history) = (Vec::new(), Vec::new());
    for number in 0..RUNS {
        let whole = (pace * dice.normal()).exp() * drift.powf(f64::from(number) / f64::from(RUNS));
        let spans = MEDIANS.map(|median| median * whole * (spread * dice.normal()).exp());
        by_weights.push(error_at_half_way(&run(&spans, "alone", &Bench::default(), false)));
        by_history.push(error_at_half_way(&run(&spans, &format!("web-{number}"), &bench, true)));
    }
    (median(by_weights), median(by_history))
}

/// The figures of `docs/performance.md`: `cargo test -p step-machine-tests --test integration -- --nocapture half_way`.
#[test]
fn at_half_way_the_history_errs_by_less_than_the_weights() {
    for (spread, pace, drift, at_most) in
        [(0.1, 0.1, 1.0, 0.07), (0.3, 0.2, 1.0, 0.17), (0.3, 0.2, 2.0, 0.17), (0.6, 0.4, 1.0, 0.3)]
    {
        let (guessed, by_history) = measure(guessed::run, spread, pace, drift);
        let (exact, beside_exact) = measure(exact::run, spread, pace, drift);
        println!(
            "steps vary by {spread}, runs by {pace}, drift {drift}: median error {:.1} % by guessed weights, {:.1} % by \
             exact weights, {:.1} % by history",
            guessed * 100.0,
            exact * 100.0,
            by_history * 100.0
        );
        assert!(by_history < guessed && by_history < exact && by_history < at_most, "{guessed} {exact} {by_history}");
        assert!((by_history - beside_exact).abs() < 1e-6, "where all steps have a history no weight counts");
    }
}

#[test]
fn with_a_history_there_is_an_estimate_from_the_first_event_on() {
    let bench = Bench::default();
    guessed::run(&MEDIANS, "first", &bench, true);
    let events = guessed::run(&MEDIANS, "second", &bench, true);
    let etas: Vec<_> = events.iter().map(|event| event.progress.as_ref().unwrap().eta).collect();
    let total: f64 = MEDIANS.iter().sum();
    assert_eq!(etas[0], Some(Duration::from_secs_f64(total)));
    assert!(etas.windows(2).all(|pair| pair[1].is_none() || pair[1] <= pair[0]), "{etas:?}");
    assert_eq!(etas[etas.len() - 2], Some(Duration::ZERO), "after the last step");
}

#[test]
fn without_a_history_the_weights_tell() {
    let alone = guessed::run(&MEDIANS, "web-1", &Bench::default(), false);
    let first = guessed::run(&MEDIANS, "web-1", &Bench::default(), true);
    assert_eq!(alone, first);
}

#[test]
fn a_journal_that_cannot_tell_is_no_fault_of_the_run() {
    use step_machine::journal::{Append, Claim, Claimed, Lease, Reply, RunQuery, RunSummary};

    /// Lists no runs, or never answers.
    struct Mute(MemoryJournal, bool);

    impl Journal for Mute {
        fn claim(&self, claim: &Claim) -> Reply<Claimed> {
            self.0.claim(claim)
        }

        fn append(&self, append: Append<'_>) -> Reply<()> {
            self.0.append(append)
        }

        fn release(&self, lease: &Lease) -> Reply<()> {
            self.0.release(lease)
        }

        fn load(&self, run: &step_machine::RunId) -> Reply<Vec<Event>> {
            self.0.load(run)
        }

        fn list(&self, _: &RunQuery) -> Reply<Vec<RunSummary>> {
            if self.1 {
                let (answer, reply) = Reply::later();
                std::mem::forget(answer);
                return reply;
            }
            Reply::ready(Err(JournalError::Closed))
        }

        fn abandon(&self, run: &step_machine::RunId, why: &str) -> Reply<()> {
            self.0.abandon(run, why)
        }

        fn prune(&self, before: std::time::SystemTime) -> Reply<usize> {
            self.0.prune(before)
        }
    }

    #[derive(Workflow)]
    enum Deploy {
        Fetch,
        Start,
    }

    for never_answers in [false, true] {
        let journal = Mute(MemoryJournal::new(), never_answers);
        let seen = Recorded::new();
        let run = Deploy::machine().id("web-1").journal(journal).estimate_from_history().observe(seen.clone());
        let run = run.begin().unwrap().step(deploy::Fetch, |_| Ok::<(), std::io::Error>(())).unwrap();
        drop(run);
        assert!(seen.events()[2].progress.as_ref().unwrap().eta.is_some(), "by weights");
    }
}

/// The other figure of `docs/performance.md`: `cargo test --release -p step-machine-tests --test integration -- --ignored
/// --nocapture ten_thousand`.
#[test]
#[ignore = "measures, and takes long"]
fn a_history_of_ten_thousand_runs_does_not_hold_up_the_start() {
    use std::time::Instant;

    use step_machine::SqliteJournal;
    use step_machine::journal::{Append, Claim, RunQuery, Synchronous};

    let folder = tempfile::tempdir().unwrap();
    let journal =
        SqliteJournal::options().synchronous(Synchronous::Normal).open(folder.path().join("runs.db")).unwrap();
    let events = guessed::run(&MEDIANS, "template", &Bench::default(), false);
    for number in 0..10_000_u32 {
        let run = step_machine::RunId::from(format!("web-{number}"));
        let mut events = events.clone();
        for event in &mut events {
            event.run = run.clone();
            event.at += Duration::from_secs(60) * number;
        }
        let lease = journal.claim(&Claim::of(&run)).wait().unwrap().lease;
        let mut append = Append::new(&lease, &events);
        append.release = true;
        journal.append(append).wait().unwrap();
    }
    #[derive(Workflow)]
    #[workflow(name = "deploy")]
    enum Deploy {
        Start,
    }
    let begin = |has_history: bool| {
        let begun = Instant::now();
        let builder = Deploy::machine().journal(journal.clone());
        let builder = if has_history { builder.estimate_from_history() } else { builder };
        let run = builder.begin().unwrap();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        run.step(deploy::Start, |_| Ok::<(), std::io::Error>(())).unwrap().finish().unwrap();
        (took, begun.elapsed().as_secs_f64() * 1000.0)
    };
    for has_history in [false, true] {
        let (starts, wholes): (Vec<_>, Vec<_>) = (0..50).map(|_| begin(has_history)).unzip();
        println!("history {has_history}: start {:.3} ms, whole run {:.3} ms", median(starts), median(wholes));
    }
    let asked = Instant::now();
    let query = RunQuery::all().with_nested().workflow("deploy").status(step_machine::event::RunStatus::Completed);
    let runs = journal.list(&query.last_begun_first().limit(20)).wait().unwrap();
    let listed = asked.elapsed();
    for run in runs {
        drop(journal.load(&run.run).wait().unwrap());
    }
    println!("the answer: {listed:?} to list, {:?} with the runs", asked.elapsed());
}
