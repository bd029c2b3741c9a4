use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    Fetch,
    #[step(needs(Fetch))]
    Build,
    Notes,
}
use release::*;

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Notes, |_| work())?;
    let run = run.step(Notes, |_| work())?;
    drop(run);
    Ok(())
}
