use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "5 parsecs")]
    Fetch,
}

fn main() {}
