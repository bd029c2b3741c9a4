#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Alone {
    Only,
}

#[derive(Workflow)]
#[workflow(parallel)]
enum AloneInParallel {
    Only,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let report = Alone::machine().begin()?.step(alone::Only, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    assert_eq!(report.state().progress().percentage, 100.0);
    let run = AloneInParallel::machine().begin()?;
    run.step(alone_in_parallel::Only, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    Ok(())
}
