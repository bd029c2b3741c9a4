#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
enum Release {
    Fetch = 40,
    Build = 20,
    Publish = 1 + 2,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Build, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Publish, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    assert_eq!(Release::Publish as u8, 3);
    assert_eq!(Release::Publish.index(), 2);
    assert_eq!(Release::from_index(0), Some(Release::Fetch));
    assert_eq!(Release::from_index(40), None);
    Ok(())
}
