use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch(u16),
    #[step(output = u16)]
    Build { count: u16 },
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn build(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }
}

fn main() {
    let _ = Release::run(&Releasing);
}
