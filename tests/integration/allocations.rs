//! What a run takes from the allocator.

use step_machine::{MachineBuilder, Report, StepContext, Workflow};

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
