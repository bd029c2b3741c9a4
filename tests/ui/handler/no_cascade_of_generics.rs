use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release<T> {
    Fetch,
    #[step(output = u16, undo)]
    Build,
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

    async fn undo_build(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {
    let _ = Release::<u8>::run(&Releasing);
}
