//! What a run takes from the allocator.

use step_machine::journal::{Append, Reply};
use step_machine::{Journal, MachineBuilder, MemoryJournal, Report, StepContext, Workflow};

use crate::support::as_in;

#[derive(Workflow)]
enum Two {
    A,
    B,
}

#[derive(Workflow)]
enum Eight {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
}

fn ok(_: &mut StepContext) -> std::io::Result<()> {
    Ok(())
}

fn drive_two(builder: MachineBuilder<Two>) -> Report<Two> {
    use two::{A, B};
    let run = builder.begin().unwrap();
    run.step(A, ok).unwrap().step(B, ok).unwrap().finish().unwrap()
}

fn drive_eight(builder: MachineBuilder<Eight>) -> Report<Eight> {
    use eight::{A, B, C, D, E, F, G, H};
    let run = builder.begin().unwrap();
    let run = run.step(A, ok).unwrap().step(B, ok).unwrap().step(C, ok).unwrap().step(D, ok).unwrap();
    run.step(E, ok).unwrap().step(F, ok).unwrap().step(G, ok).unwrap().step(H, ok).unwrap().finish().unwrap()
}

#[test]
fn a_step_in_memory_without_observers_allocates_nothing() {
    // The plans are built once for the process.
    drop((drive_two(Two::machine()), drive_eight(Eight::machine())));
    let two = allocation_counter::measure(|| drop(drive_two(Two::machine()))).count_total;
    let eight = allocation_counter::measure(|| drop(drive_eight(Eight::machine()))).count_total;
    assert_eq!((two, eight), (2, 2), "one for the run and one for the table of its steps");
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Nowhere(MemoryJournal);

impl Journal for Nowhere {
    fn append(&self, _: Append<'_>) -> Reply<()> {
        Reply::ready(Ok(()))
    }

    as_in!(0);
}

#[test]
fn what_news_of_a_step_take_with_a_journal_does_not_grow_with_its_tasks() {
    let allocations = |tasks: usize| {
        let run = Two::machine().journal(Nowhere::default()).begin().unwrap();
        let told = allocation_counter::measure(|| {
            let body = |cx: &mut StepContext| {
                let tasks: Vec<_> =
                    (0..tasks).map(|task| cx.task(format!("task-{task}"), format!("Task {task}"))).collect();
                tasks.into_iter().for_each(step_machine::Task::complete);
                std::io::Result::Ok(())
            };
            drop(run.step(two::A, body).unwrap());
        });
        told.count_total
    };
    let (few, many) = (allocations(100), allocations(400));
    assert!(many < 8 * few, "{few} allocations for 100 tasks, {many} for 400");
}
