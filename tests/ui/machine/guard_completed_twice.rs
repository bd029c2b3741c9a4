use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
    #[step(skippable)]
    Announce,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let step_machine::Entry::Run(guard) = run.enter(Fetch) else { return Ok(()) };
    let run = guard.complete(Ok::<_, io::Error>(()))?;
    drop(run);
    drop(guard.complete(Ok::<_, io::Error>(())));
    Ok(())
}
