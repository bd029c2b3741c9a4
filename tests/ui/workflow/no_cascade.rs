use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "5 parsecs")]
    Fetch,
    #[step(output = u16, skippable)]
    Build,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<(), std::io::Error>(()))?;
    let (run, size) = run.step(Build, |_| Ok::<_, std::io::Error>(7))?;
    let report = run.finish()?;
    println!("{size:?} {:?}", report.duration());
    Ok(())
}
