use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = NoAnswer;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
