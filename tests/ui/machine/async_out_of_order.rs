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

async fn drive() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step_async(Build, async |_| work()).await?;
    drop(run);
    Ok(())
}

fn main() {
    drop(drive());
}
