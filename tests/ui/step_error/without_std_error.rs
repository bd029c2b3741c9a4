use step_machine::StepError;

#[derive(Debug, StepError)]
enum FetchError {
    NoAnswer,
}

fn main() {}
