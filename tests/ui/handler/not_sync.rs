use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct Releasing {
    count: std::cell::Cell<u32>,
}

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
