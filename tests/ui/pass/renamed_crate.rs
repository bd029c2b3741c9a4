#![deny(warnings)]

extern crate step_machine as sm;

#[derive(Debug, thiserror::Error, sm::StepError)]
#[step_error(crate = sm)]
enum FetchError {
    #[error("busy")]
    #[step_error(kind = "network", retry_after = 0)]
    Busy(std::time::Duration),
    #[error("cannot write")]
    #[step_error(transparent)]
    Write(#[from] std::io::Error),
}

#[derive(sm::Workflow)]
#[workflow(crate = sm)]
enum Release {
    #[step(retry(attempts = 2), timeout = "5m")]
    Fetch,
    #[step(critical = false, workflow = inner::Tests)]
    Test,
}

mod inner {
    #[derive(sm::Workflow)]
    #[workflow(parallel, crate = crate::sm)]
    pub(crate) enum Tests {
        Unit,
        Lint,
    }

    use crate::sm;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use sm::{StepError, Workflow};
    let run = Release::machine().begin()?;
    let run = run.step(release::Fetch, |_| Ok::<_, FetchError>(()))?;
    let run = run.step(release::Test, |_| Err(FetchError::Write(std::io::Error::other("disk"))));
    run.finish()?;
    assert_eq!(FetchError::Busy(std::time::Duration::ZERO).kind(), "network");
    assert_eq!(Release::plan().steps[1].nested.as_deref().unwrap().workflow, "tests");
    let run = inner::Tests::machine().begin()?;
    let run = run.step(inner::tests::Lint, |_| Ok::<_, FetchError>(()))?;
    let run = run.step(inner::tests::Unit, |_| Ok::<_, FetchError>(()))?;
    run.finish()?;
    Ok(())
}
