use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(output = String)]
    Fetch,
    #[step(needs(Fetch, Fetch, Build, Nothing), output = u16)]
    Build,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<String, Self::Error> {
        Ok(String::new())
    }

    async fn build(&self, _: &mut StepContext, _fetch: &String, _build: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }
}

fn main() {
    let _ = Release::run(&Releasing);
}
