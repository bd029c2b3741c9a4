//! The examples killed, and gone on with: at every moment that there is, at random ones, and on their way back; once, and
//! again when they have just gone on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use step_machine::event::{Event, Kind, RunStatus};

use super::field::{Field, Killed, moments};
use super::killed::{FLOWS, Flow, TAKEN_BACK};

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
    each(&FLOWS, |flow| at_every_moment(Field::new(flow)));
}

pub(super) fn at_every_moment(mut field: Field) {
    let flow = field.flow;
    let (_, id, events) = field.undisturbed();
    let results = field.results(&id);
    let (moments, mut ended) = (moments(&events), 0);
    for &moment in &moments {
        let killed = field.killed_after(moment);
        if killed.is_by_signal() {
            assert_eq!(killed.events(), moment, "{}: what is kept is what was acknowledged", flow.name);
        }
        ended += usize::from(!killed.is_by_signal());
        assert_eq!(field.goes_on(&killed), flow.ends);
        field.has_results(&killed.id, &results, &format!("killed after {moment} events"));
    }
    // One that tells less than the one before may come to its end.
    assert!(ended <= 2, "{}: {ended} of {} were not killed", flow.name, moments.len());
    println!("{}: {} moments", flow.name, moments.len());
}

#[test]
fn killed_at_every_moment_and_again_at_a_later_one_they_go_on() {
    each(&FLOWS, |flow| {
        let mut field = Field::new(flow);
        let (_, id, events) = field.undisturbed();
        let results = field.results(&id);
        let (moments, mut within) = (spread(moments(&events), 32), 0);
        for (nth, &moment) in moments.iter().enumerate() {
            let killed = field.killed_after(moment);
            // At another place of what is left each time: from the event by which it goes on to its last one.
            let again = field.killed_again_after(&killed, 1 + nth * 7 % (events.len() - moment + 1), false);
            within += usize::from(killed.is_by_signal() && again.is_by_signal());
            assert_eq!(field.goes_on(&again), flow.ends);
            field.has_results(&again.id, &results, &format!("killed after {moment} events"));
        }
        // What goes on tells less where the steps before are done.
        assert!(within * 4 >= moments.len() * 3, "{}: {within} of {} were killed twice", flow.name, moments.len());
        println!("{}: {within} of {} moments, twice", flow.name, moments.len());
    });
}

/// At most so many of them, from the first to near the last. Each takes seconds where three processes follow one another.
fn spread(moments: Vec<usize>, most: usize) -> Vec<usize> {
    let step = moments.len().div_ceil(most).max(1);
    moments.into_iter().step_by(step).collect()
}

/// How many events there are before the run begins to be taken back.
fn until_failure(events: &[Event]) -> usize {
    let is_failure = |kind: &Kind| matches!(kind, Kind::StepEnd(end) if end.error.is_some());
    events.iter().position(|event| is_failure(&event.kind)).expect("a step fails") + 1
}

#[test]
fn killed_on_their_way_back_they_go_on_backwards() {
    each(&TAKEN_BACK, |flow| on_the_way_back(Field::new(flow)));
}

pub(super) fn on_the_way_back(mut field: Field) {
    let flow = field.flow;
    let (_, _, events) = field.undisturbed();
    let failed = until_failure(&events);
    let mut backwards = 0;
    for moment in moments(&events).into_iter().filter(|moment| *moment >= failed) {
        let killed = field.killed_after(moment);
        let went_back = killed.went_back();
        let ended = field.goes_on(&killed);
        assert!(!went_back || ended == RunStatus::RolledBack, "{} after {moment} events", flow.name);
        backwards += usize::from(went_back);
    }
    assert!(backwards >= 2, "{}: {backwards} of the moments were on the way back", flow.name);
}

#[test]
fn killed_on_their_way_back_and_again_they_go_on_backwards() {
    each(&TAKEN_BACK, |flow| {
        let mut field = Field::new(flow);
        let (_, _, events) = field.undisturbed();
        let (failed, mut forwards, mut backwards) = (until_failure(&events), 0, 0);
        let (forward, back) = moments(&events).into_iter().partition(|moment| *moment < failed);
        for (nth, moment) in [spread(forward, 8), spread(back, 12)].concat().into_iter().enumerate() {
            let killed = field.killed_after(moment);
            let went_back = killed.went_back();
            // First on the way forward and then on the way back, or twice on the way back.
            let more = failed.saturating_sub(moment) + 1 + nth * 5 % (events.len() - moment.max(failed) + 2);
            let again = field.killed_again_after(&killed, more, true);
            if again.went_back() {
                assert_eq!(field.goes_on(&again), RunStatus::RolledBack, "{} after {moment} events", flow.name);
                *(if went_back { &mut backwards } else { &mut forwards }) += 1;
            } else {
                assert!(!went_back || !again.is_within(), "{} went forward after {moment} events", flow.name);
                field.goes_on(&again);
            }
        }
        println!("{}: {forwards} on the way forward and then back, {backwards} twice on the way back", flow.name);
        assert!(forwards >= 1 && backwards >= 1, "{}: {forwards} and {backwards}", flow.name);
    });
}

/// So many processes are killed within their runs, of all flows together. The moments come again with `STEP_MACHINE_SEED`, as
/// far as times on a clock do: they are shares of what a run takes.
const KILLS: usize = 200;

#[test]
fn killed_at_random_moments_they_go_on() {
    let begun = Instant::now();
    let seed = std::env::var("STEP_MACHINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh_seed);
    println!("STEP_MACHINE_SEED={seed}");
    let (tries, once, twice) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let for_each = KILLS.div_ceil(FLOWS.len() + TAKEN_BACK.len());
    let test = |flow: &'static Flow| {
        let name = flow.name.bytes().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(byte));
        let mut random = Random(seed ^ name);
        let mut field = Field::new(flow);
        let (mut took, id, _) = field.undisturbed();
        // What was taken back has handed on nothing that would be the same.
        let results = flow.fail_at.is_none().then(|| field.results(&id));
        let mut left = for_each;
        for _ in 0..for_each * 4 {
            if left == 0 {
                break;
            }
            let delays = [took.mul_f64(random.share()), took.mul_f64(random.share())];
            let killed = field.killed_in(delays[0]);
            tries.fetch_add(1, Ordering::Relaxed);
            left -= usize::from(killed.is_within());
            // What it takes depends on what else the machine does.
            took = took.mul_f64(if !killed.is_by_signal() {
                0.8
            } else if killed.has_begun() {
                1.0
            } else {
                1.1
            });
            if !killed.has_begun() {
                continue;
            }
            // Every other one once more, at a random moment of what is left.
            let again = left.is_multiple_of(2).then(|| field.killed_again_in(&killed, delays[1]));
            twice.fetch_add(again.as_ref().map_or(0, |again| usize::from(again.is_within())), Ordering::Relaxed);
            ended_well(&field, &killed, again.as_ref(), || format!("killed after {delays:?}"));
            if let Some(results) = &results {
                field.has_results(&killed.id, results, &format!("killed after {delays:?}"));
            }
        }
        assert_eq!(left, 0, "{}: so many fewer than {for_each} were killed within their run", flow.name);
        once.fetch_add(for_each, Ordering::Relaxed);
    };
    each(&FLOWS, test);
    each(&TAKEN_BACK, test);
    let (tries, once, twice) = (tries.into_inner(), once.into_inner(), twice.into_inner());
    println!(
        "{once} of {tries} were killed within their run, {twice} of them again: {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(once >= KILLS && twice >= KILLS / 8, "{once} were killed, {twice} twice");
}

/// Has the run go on for the last time, and asserts that it does so backwards where it was going back.
fn ended_well(field: &Field, killed: &Killed, again: Option<&Killed>, told: impl Fn() -> String) {
    let went_back = killed.went_back() || again.is_some_and(Killed::went_back);
    let ended = field.goes_on(again.unwrap_or(killed));
    assert!(!went_back || ended == RunStatus::RolledBack, "{} is {ended} {}", field.flow.name, told());
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
