#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Result,
    Option,
    Ok,
    Err,
    #[step(skippable)]
    Some,
    None,
    String,
    Vec,
    Box,
    Default,
    Clone,
    Send,
    Sized,
    #[step(output = std::string::String)]
    Self_,
    Workflow,
    Step,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Names::machine().begin()?;
    let run = run.step(names::Result, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Option, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Ok, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Err, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.skip(names::Some, "not today");
    let run = run.step(names::None, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::String, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Vec, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Box, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Default, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Clone, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Send, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Sized, |_| Ok::<_, std::io::Error>(()))?;
    let (run, text) = run.step(names::Self_, |_| Ok::<_, std::io::Error>(String::from("here")))?;
    let run = run.step(names::Workflow, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(names::Step, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    assert_eq!(text, "here");
    assert_eq!(Names::from_id("none"), Some(Names::None));
    Ok(())
}
