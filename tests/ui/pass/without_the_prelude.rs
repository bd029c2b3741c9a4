#![deny(warnings)]
#![no_implicit_prelude]

#[derive(::std::fmt::Debug, ::step_machine::StepError)]
enum FetchError {
    #[step_error(kind = "network", retry_after = wait)]
    Busy { wait: ::core::time::Duration },
    #[step_error(fatal, unknown_effect)]
    Gone,
    #[step_error(transparent)]
    Write(::std::io::Error),
}

impl ::core::fmt::Display for FetchError {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        ::core::fmt::Debug::fmt(self, f)
    }
}

impl ::core::error::Error for FetchError {}

/// All rules that have code of their own.
#[derive(::step_machine::Workflow)]
#[workflow(on_failure = "rollback", deadline = "1h")]
enum Release {
    #[step(output = u16, skippable, alias = "download", retry(attempts = 3, delay = "2s", factor = 1.5, max_delay = "30s", jitter = false))]
    Fetch,
    #[step(needs(Fetch), undo, timeout = "1m", deadline = "5m", stalled_after = "30s", weight = 2.5)]
    Build,
    #[step(critical = false, workflow = Tests)]
    Test,
}

#[derive(::step_machine::Workflow)]
#[workflow(parallel)]
enum Tests {
    Unit,
    #[step(needs(Unit))]
    Lint,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = FetchError;

    async fn fetch(&self, _: &mut ::step_machine::StepContext) -> ::core::result::Result<u16, FetchError> {
        ::core::result::Result::Ok(7)
    }

    async fn build(
        &self,
        _: &mut ::step_machine::StepContext,
        _: ::core::option::Option<&u16>,
    ) -> ::core::result::Result<(), FetchError> {
        ::core::result::Result::Ok(())
    }

    async fn undo_build(&self, _: &mut ::step_machine::StepContext) -> ::core::result::Result<(), FetchError> {
        ::core::result::Result::Ok(())
    }

    fn test(&self) -> impl ::step_machine::runner::HandlerFor<Tests> {
        &Testing
    }
}

struct Testing;

impl TestsHandler for Testing {
    type Error = FetchError;

    async fn unit(&self, _: &mut ::step_machine::StepContext) -> ::core::result::Result<(), FetchError> {
        ::core::result::Result::Ok(())
    }

    async fn lint(&self, _: &mut ::step_machine::StepContext) -> ::core::result::Result<(), FetchError> {
        ::core::result::Result::Ok(())
    }
}

fn main() {
    use ::core::assert_eq;
    use ::core::result::Result::{Err, Ok};
    use ::step_machine::{StepError, Workflow};

    let Ok(run) = Release::machine().begin() else { ::core::panic!("begin") };
    let Ok((run, size)) = run.step(release::Fetch, |_| Ok::<_, FetchError>(7)) else { ::core::panic!("fetch") };
    let Ok(run) = run.step(release::Build, |_| Ok::<_, FetchError>(())) else { ::core::panic!("build") };
    let run = run.step(release::Test, |_| Err(FetchError::Busy { wait: ::core::time::Duration::ZERO }));
    let Ok(report) = run.finish() else { ::core::panic!("finish") };
    assert_eq!(size, ::core::option::Option::Some(7));
    assert_eq!(report.state().steps().len(), 3);
    assert_eq!(FetchError::Gone.kind(), "gone");
    assert_eq!(FetchError::Write(::core::convert::From::from(::std::io::ErrorKind::NotFound)).kind(), "not-found");
    assert_eq!(Release::plan().steps.len(), 3);
    assert_eq!(tests_in_order(), 2);
}

fn tests_in_order() -> usize {
    use ::core::result::Result::Ok;

    let Ok(run) = Tests::machine().begin() else { return 0 };
    let Ok(run) = run.step(tests::Unit, |_| Ok::<_, FetchError>(())) else { return 0 };
    let Ok(run) = run.step(tests::Lint, |_| Ok::<_, FetchError>(())) else { return 1 };
    let Ok(report) = run.finish() else { return 1 };
    report.state().steps().len()
}
