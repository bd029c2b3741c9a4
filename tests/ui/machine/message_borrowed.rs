use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let version = String::from("1.0");
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |cx| {
        cx.message(&version);
        Ok::<_, io::Error>(())
    })?;
    run.finish()?;
    Ok(())
}
