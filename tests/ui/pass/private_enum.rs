#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Fetch,
    #[step(output = u16)]
    Build,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().id("r-1").begin()?;
    let run = run.step(Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let (run, size) = run.step(Build, |_| Ok::<_, std::io::Error>(7))?;
    let report = run.finish()?;
    assert_eq!(size, 7);
    assert_eq!(report.run().to_string(), "r-1");
    assert_eq!(Release::steps().map(|step| step.id()).collect::<Vec<_>>(), ["fetch", "build"]);
    assert_eq!(Release::from_id("build"), Some(Release::Build));
    Ok(())
}
