use step_machine::{StepError, Workflow};

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("no answer")]
    #[step_error(kind = 404, fatel)]
    NoAnswer,
    #[error("busy")]
    #[step_error(retry_after = wait)]
    Busy,
}

#[derive(Workflow)]
enum Release {
    Fetch,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(release::Fetch, |cx| match cx.attempt() {
        1 => Ok(()),
        2 => Err(FetchError::NoAnswer),
        _ => Err(FetchError::Busy),
    })?;
    run.finish()?;
    Ok(())
}
