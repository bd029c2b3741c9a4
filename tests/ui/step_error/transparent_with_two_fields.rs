use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("cannot write {0}")]
    #[step_error(transparent)]
    Write(String, std::io::Error),
}

fn main() {}
