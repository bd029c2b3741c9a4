use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
#[step_error(kind = "fetch")]
enum FetchError {
    #[error("no answer")]
    NoAnswer,
}

fn main() {}
