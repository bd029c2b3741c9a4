use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError<E: std::error::Error + 'static> {
    #[error("cannot fetch")]
    #[step_error(transparent)]
    Inner(E),
}

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

fn kind(error: &FetchError<NoAnswer>) -> &str {
    StepError::kind(error)
}

fn main() {}
