use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "5m", deadline = "1m")]
    Fetch,
}

fn main() {}
