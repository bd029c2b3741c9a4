//! The examples killed, and gone on with: at every moment that there is, at random ones, and on their way back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::killed::{FLOWS, Field, Flow, TAKEN_BACK, moments};
use step_machine::event::{Kind, RunStatus};

/// Runs `test` for each of the flows, some at once.
fn each(flows: &'static [Flow], test: impl Fn(&'static Flow) + Sync) {
    let left = Mutex::new(flows.iter());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(flow) = { left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next() } {
                    let begun = Instant::now();
                    test(flow);
                    println!("{}: {:.1} s", flow.name, begun.elapsed().as_secs_f64());
                }
            });
        }
    });
}

#[test]
fn killed_at_every_moment_they_go_on() {
    each(&FLOWS, |flow| {
        let mut field = Field::new(flow);
        let (_, id, events) = field.undisturbed();
        let outputs = field.outputs(&id);
        let (moments, mut ended) = (moments(&events), 0);
        for &moment in &moments {
            let killed = field.killed_after(moment);
            if killed.is_by_signal() {
                assert_eq!(killed.events, moment, "{}: what is kept is what was acknowledged", flow.name);
            }
            ended += usize::from(!killed.is_by_signal());
            assert_eq!(field.goes_on(&killed), RunStatus::Completed);
            assert_eq!(field.outputs(&killed.id), outputs, "{} after {moment} events", flow.name);
        }
        // One that tells less than the one before may come to its end.
        assert!(ended <= 2, "{}: {ended} of {} were not killed", flow.name, moments.len());
        println!("{}: {} moments", flow.name, moments.len());
    });
}

#[test]
fn killed_on_their_way_back_they_go_on_backwards() {
    each(&TAKEN_BACK, |flow| {
        let mut field = Field::new(flow);
        let (_, _, events) = field.undisturbed();
        let is_failure = |kind: &Kind| matches!(kind, Kind::StepEnd(end) if end.error.is_some());
        let failed = events.iter().position(|event| is_failure(&event.kind)).expect("a step fails") + 1;
        let mut backwards = 0;
        for moment in moments(&events).into_iter().filter(|moment| *moment >= failed) {
            let killed = field.killed_after(moment);
            let went_back = killed.went_back();
            let ended = field.goes_on(&killed);
            assert!(!went_back || ended == RunStatus::RolledBack, "{} after {moment} events", flow.name);
            backwards += usize::from(went_back);
        }
        assert!(backwards >= 2, "{}: {backwards} of the moments were on the way back", flow.name);
    });
}

#[test]
fn killed_at_random_moments_they_go_on() {
    let seed = std::env::var("STEP_MACHINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh_seed);
    println!("STEP_MACHINE_SEED={seed}");
    let counted = AtomicUsize::new(0);
    each(&FLOWS, |flow| {
        let name = flow.name.bytes().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(byte));
        let mut random = Random(seed ^ name);
        let mut field = Field::new(flow);
        let (took, ..) = field.undisturbed();
        for _ in 0..200_usize.div_ceil(FLOWS.len()) {
            let delay = took.mul_f64(random.share());
            let killed = field.killed_in(delay);
            counted.fetch_add(usize::from(killed.is_by_signal()), Ordering::Relaxed);
            if killed.has_begun() {
                assert_eq!(field.goes_on(&killed), RunStatus::Completed, "killed after {delay:?}");
            }
        }
    });
    // The others had ended before.
    let counted = counted.into_inner();
    assert!(counted >= 100, "{counted} were killed");
    println!("{counted} were killed");
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.subsec_nanos().into()
}

/// Numbers that come again with their seed: `SplitMix64`.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        f64::from(top) / f64::from(u32::MAX)
    }
}
