use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Tests {
    Unit,
}

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests)]
    Test,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn test(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
