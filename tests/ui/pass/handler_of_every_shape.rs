#![deny(warnings)]

use step_machine::runner::HandlerFor;
use step_machine::{StepContext, StepError, Workflow};

#[derive(Debug, thiserror::Error, StepError)]
pub enum ReleaseError {
    #[error("no answer")]
    NoAnswer,
}

/// Bring out a version.
#[derive(Workflow)]
pub enum Release {
    /// Fetch the sources
    Fetch,
    #[step(output = String, undo)]
    Build,
    #[step(output = u16, skippable)]
    Count,
    #[step(output = Vec<u8>, critical = false)]
    Sign,
    #[step(needs(Count, Fetch, Build, Sign), undo)]
    Publish,
    #[step(skippable, critical = false, needs(Fetch))]
    Announce,
    #[step(workflow = Tests)]
    Test,
    #[step(workflow = Tests, needs(Sign, Build), skippable)]
    TestAgain,
}

/// Test it.
#[derive(Workflow)]
#[workflow(parallel)]
pub enum Tests {
    Unit,
    #[step(needs(Unit))]
    Lint,
}

pub struct Releasing {
    tests: Testing,
}

impl ReleaseHandler for Releasing {
    type Error = ReleaseError;

    async fn fetch(&self, cx: &mut StepContext) -> Result<(), ReleaseError> {
        cx.message("fetching");
        Ok(())
    }

    async fn build(&self, _: &mut StepContext) -> Result<String, Self::Error> {
        Err(ReleaseError::NoAnswer)
    }

    async fn undo_build(&self, cx: &mut StepContext, output: Option<&String>) -> Result<(), Self::Error> {
        cx.message(output.map_or("nothing", String::as_str).to_owned());
        Ok(())
    }

    async fn count(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn skip_count(&self, _: &mut StepContext) -> Result<Option<String>, Self::Error> {
        Ok(Some("not today".to_owned()))
    }

    async fn sign(&self, _: &mut StepContext) -> Result<Vec<u8>, Self::Error> {
        Ok(Vec::new())
    }

    async fn publish(
        &self,
        cx: &mut StepContext,
        count: Option<&u16>,
        build: &String,
        sign: Option<&Vec<u8>>,
    ) -> Result<(), Self::Error> {
        later().await;
        cx.message(format!("{count:?} {build} {sign:?}"));
        later().await;
        Ok(())
    }

    async fn undo_publish(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn announce(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    fn test(&self) -> impl HandlerFor<Tests> {
        &self.tests
    }

    fn test_again(&self, _: Option<&Vec<u8>>, _: &String) -> impl HandlerFor<Tests> {
        &self.tests
    }
}

pub struct Testing;

impl TestsHandler for Testing {
    type Error = std::io::Error;

    async fn unit(&self, _: &mut StepContext) -> std::io::Result<()> {
        Ok(())
    }

    async fn lint(&self, _: &mut StepContext) -> std::io::Result<()> {
        Ok(())
    }
}

async fn later() {}

fn main() {
    let _ = Release::run(&Releasing { tests: Testing });
}
