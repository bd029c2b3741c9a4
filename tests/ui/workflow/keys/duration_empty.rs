use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "")]
    Fetch,
}

fn main() {}
