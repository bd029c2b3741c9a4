use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("the answer is no UTF-8")]
    #[step_error(transparent)]
    Answer(std::str::Utf8Error),
}

fn main() {}
