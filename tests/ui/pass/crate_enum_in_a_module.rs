#![deny(warnings)]

mod flow {
    use step_machine::Workflow;

    #[derive(Workflow)]
    pub(crate) enum Release {
        Fetch,
        Build,
    }
}

mod driver {
    use step_machine::Machine;

    use super::flow::Release;
    use super::flow::release::{self, at};

    pub(crate) fn fetched(run: Machine<Release, at::Fetch>) -> Result<Machine<Release, at::Build>, std::io::Error> {
        let Ok(run) = run.step(release::Fetch, |_| Ok::<_, std::convert::Infallible>(())) else { unreachable!() };
        Ok(run)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = driver::fetched(flow::Release::machine().begin()?)?;
    let run = run.step(flow::release::Build, |_| Ok::<_, std::io::Error>(()))?;
    assert_eq!(run.finish()?.state().steps().len(), 2);
    Ok(())
}
