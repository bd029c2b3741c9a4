//! What a person reads of a run whose nested run failed.

use step_machine::runner::HandlerFor;
use step_machine::{StepContext, Workflow};

use crate::support::Trouble;

#[derive(Workflow)]
#[workflow(on_failure = "rollback")]
enum Docker {
    #[step(undo)]
    Build,
    Start,
}

#[derive(Workflow)]
enum Publish {
    Write,
    #[step(workflow = Docker)]
    Deploy,
    Announce,
}

struct Publisher;

impl DockerHandler for Publisher {
    type Error = Trouble;

    async fn build(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn undo_build(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    async fn start(&self, cx: &mut StepContext) -> Result<(), Trouble> {
        cx.metadata("container", "c-1");
        Err(Trouble::Network)
    }
}

impl PublishHandler for Publisher {
    type Error = Trouble;

    async fn write(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }

    fn deploy(&self) -> impl HandlerFor<Docker> {
        self
    }

    async fn announce(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[tokio::test]
async fn the_story_tells_the_course_of_the_run_inside() {
    let clock = step_machine::time::ManualClock::new();
    let failure = Publish::run(&Publisher).id("p-1").clock(clock).await.unwrap_err();
    let story = format!("{failure:#}");
    let (_, course) = story.split_once("error (network)").expect("the error is told");
    let expected = "
  0: step 2/2 `start` of `docker` failed (network) after 0.000 s
  1: connection refused

steps
  ✓ 1/3  Write     completed in 0.000 s, begun at 0.000 s
  ✗ 2/3  Deploy    failed in 0.000 s, begun at 0.000 s
    3/3  Announce  never ran

inside of the step: run p-1/deploy/docker
  step 2/2 `start` of `docker` failed (network) after 0.000 s

  steps
    ↶ 1/2  Build  completed in 0.000 s, begun at 0.000 s, then undone
    ✗ 2/2  Start  failed in 0.000 s, begun at 0.000 s

  metadata of the step
    container: \"c-1\"

  rollback (rolled_back)
    build: undone";
    assert_eq!(course, expected);
}
