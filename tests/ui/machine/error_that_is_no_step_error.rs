use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}
use release::*;

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Err(NoAnswer))?;
    run.finish()?;
    Ok(())
}
