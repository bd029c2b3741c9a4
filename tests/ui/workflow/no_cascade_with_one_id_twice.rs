use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = "fetch")]
    Download,
    Fetch,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Download, |_| Ok::<(), std::io::Error>(()))?;
    let run = run.step(Fetch, |_| Ok::<(), std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}
