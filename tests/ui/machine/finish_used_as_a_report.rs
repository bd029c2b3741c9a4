use std::io;

use step_machine::{Report, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<(), io::Error>(()))?;
    let report: Report<Release> = run;
    println!("{:?}", report.duration());
    Ok(())
}
