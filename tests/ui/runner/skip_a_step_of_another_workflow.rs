use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(skippable)]
    Announce,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[derive(Workflow)]
enum Other {
    #[step(skippable)]
    Last,
}

fn main() {
    let _ = Release::run(&Releasing).skip(other::Last, "no time");
}
