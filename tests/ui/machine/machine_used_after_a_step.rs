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

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let fetched = run.step(Fetch, |_| work())?;
    drop(fetched);
    let again = run.step(Fetch, |_| work())?;
    drop(again);
    Ok(())
}
