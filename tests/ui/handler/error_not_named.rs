use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    async fn fetch(&self, _: &mut StepContext) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {}
