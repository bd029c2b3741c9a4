use step_machine::Workflow;

#[derive(Workflow)]
enum Release<'a, T> {
    Fetch(&'a T),
    Build,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::<'static, u8>::machine().begin()?;
    let run = run.step(release::Fetch, |_| Ok::<(), std::io::Error>(()))?;
    drop(run);
    Ok(())
}
