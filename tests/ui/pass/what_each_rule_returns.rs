#![deny(warnings)]

use std::io;

use step_machine::{Failure, Machine, Workflow};

#[derive(Workflow, Debug, PartialEq)]
enum Rules {
    Critical,
    #[step(output = u16)]
    CriticalOutput,
    #[step(output = u16, skippable)]
    CriticalMaybe,
    #[step(critical = false)]
    NonCritical,
    #[step(critical = false, output = Vec<(String, Option<u16>)>)]
    NonCriticalOutput,
    #[step(critical = true, skippable)]
    Skippable,
    #[step(critical = false, skippable, output = u16)]
    All,
}
use rules::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Rules::machine().begin()?;
    let run: Result<Machine<Rules, at::CriticalOutput>, Failure<Rules, io::Error>> = run.step(Critical, |_| Ok(()));
    let (run, output): (_, u16) = run?.step(CriticalOutput, |_| Ok::<_, io::Error>(7))?;
    assert_eq!(output, 7);
    let (run, output): (_, Option<u16>) = run.step(CriticalMaybe, |_| Ok::<_, io::Error>(7))?;
    assert_eq!(output, Some(7));
    let run: Machine<Rules, at::NonCriticalOutput> = run.step(NonCritical, |_| Err(io::Error::other("tired")));
    let (run, output) = run.step(NonCriticalOutput, |_| Ok::<_, io::Error>(vec![("a".to_owned(), None)]));
    assert_eq!(output, Some(vec![("a".to_owned(), None)]));
    let run: Machine<Rules, at::All> = run.skip(Skippable, "not today");
    let (run, output) = run.step(All, |_| Err(io::Error::other("tired")));
    assert_eq!(output, None);
    let report = run.finish()?;
    assert_eq!(report.warnings().collect::<Vec<_>>(), [Rules::NonCritical, Rules::All]);
    Ok(())
}
