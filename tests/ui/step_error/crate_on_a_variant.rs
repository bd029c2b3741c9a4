use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("no answer")]
    #[step_error(crate = step_machine)]
    NoAnswer,
}

fn main() {}
