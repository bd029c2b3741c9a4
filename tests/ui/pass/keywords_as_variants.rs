#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Words {
    Type,
    At,
    Fn,
    Await,
    Machine,
    Run,
}
use words::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Words::machine().begin()?;
    let run = run.step(Type, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(At, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Fn, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Await, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Machine, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Run, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}
