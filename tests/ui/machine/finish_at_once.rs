use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    run.finish()?;
    Ok(())
}
