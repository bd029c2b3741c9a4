use std::time::Duration;

use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("{host} is busy")]
    #[step_error(retry_after = pause)]
    Busy { host: String, wait: Duration },
}

fn main() {}
