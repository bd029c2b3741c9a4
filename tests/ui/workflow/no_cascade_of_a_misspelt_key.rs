use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(paralel)]
enum Release {
    Fetch,
    #[step(outptu = "u16", skippable = true)]
    Build,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, size) = run.step(Build, |_| Ok::<_, std::io::Error>(7))?;
    let run = run.step(Fetch, |_| Ok::<(), std::io::Error>(()))?;
    let report = run.finish()?;
    println!("{size:?} {:?}", report.duration());
    Ok(())
}
