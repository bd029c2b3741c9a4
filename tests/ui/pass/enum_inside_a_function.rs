#![deny(warnings)]

use step_machine::Workflow;

fn sequence() -> Result<(), Box<dyn std::error::Error>> {
    #[derive(Workflow)]
    enum Release {
        Fetch,
        Build,
    }
    use release::*;

    let run = Release::machine().begin()?;
    let run = run.step(Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(Build, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    Ok(())
}

fn parallel() -> Result<(), Box<dyn std::error::Error>> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Archive(u16);

    #[derive(Workflow)]
    #[workflow(parallel)]
    enum Release {
        #[step(output = Archive)]
        Fetch,
        Notes,
    }

    let run = Release::machine().begin()?;
    let run = run.step(release::Notes, |_| Ok::<_, std::io::Error>(()))?;
    let (run, archive) = run.step(release::Fetch, |_| Ok::<_, std::io::Error>(Archive(7)))?;
    assert_eq!(archive.0, 7);
    run.finish()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sequence()?;
    parallel()
}
