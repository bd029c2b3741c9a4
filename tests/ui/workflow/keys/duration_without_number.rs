use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "minutes")]
    Fetch,
}

fn main() {}
