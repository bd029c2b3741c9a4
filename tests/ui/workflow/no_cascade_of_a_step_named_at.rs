use step_machine::Workflow;

#[derive(Workflow)]
#[allow(non_camel_case_types)]
enum Release {
    at,
    Build,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(release::at, |_| Ok::<(), std::io::Error>(()))?;
    let run = run.step(release::Build, |_| Ok::<(), std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}
