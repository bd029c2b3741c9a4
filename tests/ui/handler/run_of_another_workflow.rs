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
}

#[derive(Workflow)]
enum Deploy {
    Copy,
}

fn main() {
    let _ = Deploy::run(&Releasing);
}
