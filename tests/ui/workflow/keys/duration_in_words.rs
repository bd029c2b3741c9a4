use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "five minutes")]
    Fetch,
}

fn main() {}
