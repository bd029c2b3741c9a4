use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {}
