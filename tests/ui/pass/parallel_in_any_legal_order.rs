#![deny(warnings)]

use std::io;

use step_machine::Workflow;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(parallel)]
enum Release {
    #[step(needs(Fetch, Test))]
    Publish,
    Fetch,
    #[step(needs(Fetch), output = u16)]
    Test,
    #[step(critical = false)]
    Notes,
}
use release::*;

fn work() -> io::Result<()> {
    Ok(())
}

fn depth_first() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| work())?;
    let (run, passed) = run.step(Test, |_| Ok::<_, io::Error>(7))?;
    let run = run.step(Publish, |_| work())?;
    let run = run.step(Notes, |_| work());
    run.finish()?;
    assert_eq!(passed, 7);
    Ok(())
}

fn notes_first() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(Notes, |_| Err(io::Error::other("nothing to note")));
    let run = run.step(Fetch, |_| work())?;
    let (run, _) = run.step(Test, |_| Ok::<_, io::Error>(7))?;
    let run = run.step(Publish, |_| work())?;
    let report = run.finish()?;
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Release::Notes]);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    depth_first()?;
    notes_first()
}
