use step_machine::runner::HandlerFor;
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

struct Releasing {
    tests: Testing,
}

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    fn test(&self) -> impl HandlerFor<Tests> {
        self.tests
    }
}

struct Testing;

impl TestsHandler for Testing {
    type Error = std::io::Error;

    async fn unit(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
