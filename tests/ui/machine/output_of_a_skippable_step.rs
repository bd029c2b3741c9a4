use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = u16, skippable)]
    Measure,
}
use release::*;

fn measure() -> io::Result<u16> {
    Ok(7)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, size) = run.step(Measure, |_| measure())?;
    let size: u16 = size;
    println!("{size}");
    run.finish()?;
    Ok(())
}
