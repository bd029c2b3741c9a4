use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    Fetch,
    #[step(needs(Fetch))]
    Build,
    Notes,
}

#[derive(Workflow)]
#[workflow(parallel)]
enum Review {
    Read,
    Comment,
    Approve,
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
