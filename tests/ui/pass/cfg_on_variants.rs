#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[cfg(all())]
    Fetch,
    #[cfg(any())]
    Sign,
    #[cfg_attr(all(), step(needs(Fetch), output = u16))]
    #[cfg_attr(any(), step(needs(Sign), weight = "never read"))]
    Build,
    #[cfg_attr(any(), step(nonsense))]
    Publish,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let (run, size) = run.step(Build, |_| Ok::<_, std::io::Error>(7))?;
    let run = run.step(Publish, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    assert_eq!(size, 7);
    let ids: Vec<_> = Release::plan().steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["fetch", "build", "publish"]);
    assert_eq!(Release::plan().steps[1].needs, ["fetch"]);
    Ok(())
}
