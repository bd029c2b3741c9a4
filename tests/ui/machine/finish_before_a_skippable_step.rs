use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(skippable)]
    Announce,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<(), io::Error>(()))?;
    run.finish()?;
    Ok(())
}
