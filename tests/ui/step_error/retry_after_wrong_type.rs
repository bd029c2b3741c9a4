use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("busy")]
    #[step_error(retry_after = seconds)]
    Busy { seconds: u64 },
}

fn main() {}
