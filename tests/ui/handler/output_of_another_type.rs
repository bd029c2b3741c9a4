use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(output = String)]
    Fetch,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }
}

fn main() {}
