use std::io;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
    #[step(skippable)]
    Announce,
}
use release::*;

fn upload(archive: String) -> io::Result<()> {
    drop(archive);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let archive = String::from("release.tar");
    let run = Release::machine().begin()?;
    let run = run.step_retry(Fetch, |_| upload(archive))?;
    drop(run);
    Ok(())
}
