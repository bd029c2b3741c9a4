use step_machine::Workflow;

#[derive(Workflow)]
struct Release;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    run.finish()?;
    Ok(())
}
