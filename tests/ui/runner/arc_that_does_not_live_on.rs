use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(skippable)]
    Announce,
}

struct Releasing<'a>(&'a str);

impl ReleaseHandler for Releasing<'_> {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {
    let name = String::from("r-1");
    let _ = Release::run(std::sync::Arc::new(Releasing(&name)));
}
