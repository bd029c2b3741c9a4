use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin();
    let run = run.step(release::Fetch, |_| Ok::<(), std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}
