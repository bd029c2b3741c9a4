use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(output = String)]
    Fetch,
    #[step(needs(Fetch))]
    Build,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<String, Self::Error> {
        Ok(String::new())
    }

    async fn build(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
