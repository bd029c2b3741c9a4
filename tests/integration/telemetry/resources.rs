//! What steps took of processor and memory.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use step_machine::event::Kind;
use step_machine::process::Command;
use step_machine::{MemoryJournal, StepContext, Workflow};

use crate::support::{Recorded, Trouble, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    Compile,
    #[step(critical = false)]
    Link,
    #[step(skippable)]
    Strip,
}
use build::{Compile, Link, Strip};

/// Keeps this thread's processor busy for so long.
fn burn(span: Duration) {
    let (start, mut value) = (Instant::now(), 1_u64);
    while start.elapsed() < span {
        value = std::hint::black_box(value.wrapping_mul(31).wrapping_add(7));
    }
}

fn number(of: &Map<String, Value>, key: &str) -> f64 {
    of[key].as_f64().unwrap()
}

#[test]
fn a_step_tells_what_it_took_just_before_its_end() {
    let seen = Recorded::new();
    let run = Build::machine().observe(seen.clone()).measure_resources().begin().unwrap();
    let run = run.step(Compile, |_| Ok::<_, Trouble>(burn(Duration::from_millis(200)))).unwrap();
    let run = run.step(Link, refuse).skip(Strip, "not asked for");
    let report = run.finish().unwrap();
    let types: Vec<_> =
        seen.events().iter().map(|event| format!("{} {}", event.event_type(), event.step().unwrap_or("-"))).collect();
    assert_eq!(
        types,
        [
            "run_start -",
            "step_start compile",
            "step_update compile",
            "step_end compile",
            "step_start link",
            "step_update link",
            "step_end link",
            "step_end strip",
            "run_end -",
        ]
    );
    let metadata = report.state().step("compile").unwrap().metadata().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["resources"]);
    let Value::Object(taken) = &metadata["resources"] else { panic!("{metadata:?}") };
    assert_eq!(
        taken.keys().collect::<Vec<_>>(),
        [
            "children_cpu_system_ms",
            "children_cpu_user_ms",
            "children_peak_memory_bytes",
            "cpu_system_ms",
            "cpu_user_ms",
            "peak_memory_bytes",
        ]
    );
    // Other tests of this process may burn beside it, and on a machine that is busy it gets less than a whole processor.
    let own = number(taken, "cpu_user_ms") + number(taken, "cpu_system_ms");
    assert!(own >= 20.0, "{taken:?}");
    assert!(number(taken, "peak_memory_bytes") > 1_000_000.0, "{taken:?}");
}

#[test]
fn nothing_is_measured_that_is_not_asked_for() {
    let run = Build::machine().begin().unwrap().step(Compile, ok).unwrap().step(Link, ok).skip(Strip, "no");
    assert!(run.finish().unwrap().state().step("compile").unwrap().metadata().is_none());
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Ship {
    #[step(retry(attempts = 2, delay = "0s"))]
    Pack,
    #[step(workflow = Crate)]
    Nested,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Crate {
    Nail,
}

struct Yard;

/// Burns the processor in a process of its own.
const BURN: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

impl ShipHandler for Yard {
    type Error = Trouble;

    async fn pack(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.command(Command::new("sh").args(["-c", BURN])).await.map_err(|_| Trouble::Lost)?;
        if cx.attempt() == 1 { Err(Trouble::Network) } else { Ok(()) }
    }

    fn nested(&self) -> impl step_machine::runner::HandlerFor<Crate> {
        self
    }
}

impl CrateHandler for Yard {
    type Error = Trouble;

    async fn nail(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[test]
fn a_command_counts_for_the_step_that_ran_it_in_all_its_attempts_and_is_kept() {
    let (journal, seen) = (MemoryJournal::new(), Recorded::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = Ship::run(&Yard).id("a").journal(journal.clone()).observe(seen.clone()).measure_resources();
    runtime.block_on(async { run.await.unwrap() });
    let events = step_machine::Journal::load(&journal, &"a".into()).wait().unwrap();
    let told = |events: &[step_machine::Event]| -> Vec<(String, Value)> {
        let update = |event: &step_machine::Event| match &event.kind {
            Kind::StepUpdate(update) => Some((update.step.id().to_owned(), update.metadata.get("resources")?.clone())),
            _ => None,
        };
        events.iter().filter_map(update).collect()
    };
    let kept = told(&events);
    // One for all attempts; what a nested step tells machines is its step's too, which then tells its own.
    assert_eq!(kept.iter().map(|(step, _)| step.as_str()).collect::<Vec<_>>(), ["pack", "nested", "nested"]);
    let steps: Vec<_> = told(&seen.events()).into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, ["pack", "nail", "nested", "nested"]);
    let Value::Object(pack) = &kept[0].1 else { panic!("{kept:?}") };
    let children = number(pack, "children_cpu_user_ms") + number(pack, "children_cpu_system_ms");
    assert!(children >= 20.0, "{pack:?}");
    assert!(number(pack, "children_peak_memory_bytes") > 100_000.0, "{pack:?}");
}
