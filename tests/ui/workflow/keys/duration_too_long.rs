use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "1000 years")]
    Fetch,
}

fn main() {}
