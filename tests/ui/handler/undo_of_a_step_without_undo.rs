use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn undo_fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
