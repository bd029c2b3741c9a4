use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
}
use release::*;

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| work())?;
    let run = run.step(Biuld, |_| work())?;
    run.finish()?;
    Ok(())
}
