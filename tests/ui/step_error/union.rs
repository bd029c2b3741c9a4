use step_machine::StepError;

#[derive(StepError)]
union FetchError {
    code: u8,
    wide: u16,
}

impl std::error::Error for FetchError {}

impl std::fmt::Debug for FetchError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

fn main() {}
