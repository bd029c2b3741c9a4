#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = u16)]
    Fetch,
    Build,
    #[step(needs(Fetch, Build))]
    Publish,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, archive) = run.step(Fetch, |_| Ok::<_, std::io::Error>(7))?;
    let run = run.step(Build, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Publish, |_| Ok::<_, std::io::Error>(assert_eq!(archive, 7)))?;
    run.finish()?;
    assert_eq!(Release::plan().steps[2].needs, ["fetch", "build"]);
    Ok(())
}
