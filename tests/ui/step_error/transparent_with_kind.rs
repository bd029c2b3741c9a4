use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("cannot write")]
    #[step_error(transparent, kind = "disk")]
    Write(std::io::Error),
}

fn main() {}
