use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = u16)]
    Measure,
}
use release::*;

fn measure() -> io::Result<u16> {
    Ok(7)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Measure, |_| measure())?;
    run.finish()?;
    Ok(())
}
