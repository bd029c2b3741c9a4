//! What it costs to fold the events of runs with many steps.

use std::time::{Duration, Instant};

use step_machine::RunState;
use step_machine::event::{Event, RunStatus};

/// The events of a run, which begins with a plan of these steps.
struct Story {
    plan: String,
    events: Vec<Event>,
}

impl Story {
    fn begin(parallel: bool, steps: impl Iterator<Item = String>) -> Self {
        let steps: Vec<_> = steps.collect();
        let plan = format!(r#"{{"workflow":"w","parallel":{parallel},"steps":[{}]}}"#, steps.join(","));
        let mut story = Self { plan: plan.clone(), events: Vec::new() };
        story.tell(&format!(r#""type":"run_start","plan":{plan}"#));
        story
    }

    fn tell(&mut self, rest: &str) {
        let seq = self.events.len() + 1;
        let head =
            format!(r#""v":1,"run":"r","workflow":"w","seq":{seq},"at":"2026-01-01T00:00:00Z","elapsed_ms":1.0"#);
        self.events.push(Event::from_json(&format!("{{{head},{rest}}}")).unwrap());
    }

    fn step(&mut self, step: &str, end: &str) {
        self.tell(&format!(r#""type":"step_start","step":"{step}","attempt":1"#));
        self.tell(&format!(
            r#""type":"step_end","step":"{step}","attempt":1,"duration_ms":0.0,"attempt_ms":0.0,"status":{end}"#
        ));
    }

    fn fold(&self) -> RunState {
        RunState::fold(&self.events).unwrap().unwrap()
    }
}

fn id(step: usize) -> String {
    format!("step-number-{step}")
}

/// A completed run of a sequence of so many steps, of which all run again.
fn ran_again(steps: usize) -> Story {
    let mut story = Story::begin(false, (0..steps).map(|step| format!(r#"{{"id":"{}","name":"S"}}"#, id(step))));
    for step in 0..steps {
        story.step(&id(step), r#""completed""#);
    }
    story.tell(r#""type":"run_end","status":"completed","warnings":0"#);
    let again: Vec<_> = (0..steps).map(|step| format!(r#""{}""#, id(step))).collect();
    let plan = story.plan.clone();
    story.tell(&format!(r#""type":"run_resume","rollback":false,"plan":{plan},"again":[{}]"#, again.join(",")));
    story
}

#[test]
fn what_it_takes_to_run_steps_again_grows_with_their_number_and_not_faster() {
    let allocations = |steps| {
        let story = ran_again(steps);
        let (resume, before) = story.events.split_last().unwrap();
        let mut state = RunState::fold(before).unwrap().unwrap();
        let taken = allocation_counter::measure(|| state.advance(resume).unwrap());
        assert_eq!((state.status(), state.progress().completed), (RunStatus::Running, 0));
        taken.count_total
    };
    let (few, many) = (allocations(100), allocations(400));
    assert!(many < 8 * few, "{few} allocations for 100 steps, {many} for 400");
}

/// A run of as many steps, of which each needs the one before: the last one fails, and all are undone.
fn chain_taken_back(steps: usize) -> Story {
    let mut story = Story::begin(
        true,
        (0..steps).map(|step| {
            let needs = step.checked_sub(1).map(|before| format!(r#","needs":["{}"]"#, id(before))).unwrap_or_default();
            format!(r#"{{"id":"{}","name":"S","undo":true{needs}}}"#, id(step))
        }),
    );
    for step in 0..steps - 1 {
        story.step(&id(step), r#""completed""#);
    }
    story.step(&id(steps - 1), r#""failed","error":{"kind":"k","message":"m","effect":"known"}"#);
    for step in (0..steps).rev() {
        story.tell(&format!(r#""type":"undo_start","step":"{}","attempt":1"#, id(step)));
        story.tell(&format!(r#""type":"undo_end","step":"{}","status":"undone","duration_ms":0.0"#, id(step)));
    }
    story.tell(r#""type":"run_end","status":"rolled_back","warnings":0"#);
    story
}

/// Not a measurement: what was looked for by comparing texts, for each undo once more, took minutes.
#[test]
fn a_long_chain_of_needs_is_undone_in_no_time() {
    let story = chain_taken_back(1000);
    let began = Instant::now();
    assert_eq!(story.fold().status(), RunStatus::RolledBack);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
