use step_machine::StepError;

#[derive(Debug, thiserror::Error, StepError)]
#[error("no answer")]
#[step_error(kind = 3, fatal = true)]
struct NoAnswer;

fn main() {}
