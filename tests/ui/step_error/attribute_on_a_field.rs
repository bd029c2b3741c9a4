use std::time::Duration;

use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("busy")]
    Busy {
        #[step_error(retry_after)]
        wait: Duration,
    },
}

fn main() {}
