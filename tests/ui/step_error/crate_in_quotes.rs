use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
#[error("no answer")]
#[step_error(crate = "step_machine")]
struct NoAnswer;

fn main() {}
