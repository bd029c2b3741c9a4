use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "0s")]
    Fetch,
}

fn main() {}
