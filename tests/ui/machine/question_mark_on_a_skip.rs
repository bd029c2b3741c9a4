use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(skippable)]
    Announce,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.skip(Announce, "not today")?;
    run.finish()?;
    Ok(())
}
