use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("{0}")]
    #[step_error(transparent)]
    Answer(String),
}

fn main() {}
