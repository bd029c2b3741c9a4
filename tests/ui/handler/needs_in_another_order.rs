use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(output = String)]
    Fetch,
    #[step(output = u16)]
    Count,
    #[step(needs(Fetch, Count))]
    Build,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<String, Self::Error> {
        Ok(String::new())
    }

    async fn count(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn build(&self, _: &mut StepContext, _count: &u16, _fetch: &String) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
