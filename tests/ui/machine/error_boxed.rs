use std::error::Error;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}
use release::*;

fn work() -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| work())?;
    run.finish()?;
    Ok(())
}
