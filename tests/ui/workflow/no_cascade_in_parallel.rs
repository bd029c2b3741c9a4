use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    Fetch,
    #[step(needs(Fetsh))]
    Build,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<(), std::io::Error>(()))?;
    let run = run.step(Build, |_| Ok::<(), std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}
