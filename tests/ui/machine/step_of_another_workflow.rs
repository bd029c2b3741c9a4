use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
    #[step(skippable)]
    Announce,
}

#[derive(Workflow)]
enum Review {
    Read,
}

fn work() -> io::Result<()> {
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(review::Read, |_| work())?;
    drop(run);
    Ok(())
}
