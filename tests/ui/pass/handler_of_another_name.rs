#![deny(warnings)]

use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
#[workflow(handler = Releasing, steps = parts)]
enum Release {
    Fetch,
}

struct ReleaseHandler;

impl Releasing for ReleaseHandler {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {
    let _ = Release::run(&ReleaseHandler);
}
