use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(critical = false)]
    Announce,
}
use release::*;

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Announce, |_| work())?;
    run.finish()?;
    Ok(())
}
