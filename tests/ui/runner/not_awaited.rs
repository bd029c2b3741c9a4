#![deny(unused_must_use)]

use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(skippable)]
    Announce,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

async fn release() {
    Release::run(&Releasing).id("r-1");
}

fn main() {
    drop(release());
}
