use std::time::Duration;

use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("busy")]
    #[step_error(retry_after = pause)]
    Busy { wait: Duration },
}

fn main() {}
