use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}
use release::*;

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, archive) = run.step(Fetch, |_| work())?;
    drop(archive);
    run.finish()?;
    Ok(())
}
