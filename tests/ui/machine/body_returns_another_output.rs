use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = u16)]
    Measure,
}
use release::*;

fn measure() -> io::Result<String> {
    Ok("7".to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, size) = run.step(Measure, |_| measure())?;
    println!("{size}");
    run.finish()?;
    Ok(())
}
