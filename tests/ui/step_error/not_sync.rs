use std::cell::Cell;

use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
enum FetchError {
    #[error("no answer after {0:?} attempts")]
    NoAnswer(Cell<u8>),
}

fn main() {}
