use step_machine::runner::HandlerFor;
use step_machine::Workflow;

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
    tests: u16,
}

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    fn test(&self) -> impl HandlerFor<Tests> {
        &self.tests
    }
}

fn main() {}
