#![deny(unused_must_use)]

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
    run.step(Fetch, |_| work())?;
    Ok(())
}
