#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Deploy {
    Start,
    Stop,
}

#[derive(Workflow)]
enum Destroy {
    Stop,
    Start,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let up = Deploy::machine().begin()?;
    let down = Destroy::machine().begin()?;
    let up = up.step(deploy::Start, |_| Ok::<_, std::io::Error>(()))?;
    let down = down.step(destroy::Stop, |_| Ok::<_, std::io::Error>(()))?;
    up.step(deploy::Stop, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    down.step(destroy::Start, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    Ok(())
}
