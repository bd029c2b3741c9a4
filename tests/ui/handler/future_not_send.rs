use std::rc::Rc;

use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}

async fn wait() {}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        let count = Rc::new(7);
        wait().await;
        drop(count);
        Ok(())
    }
}

fn main() {}
