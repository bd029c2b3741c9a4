use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = "Other")]
    Fetch,
}

fn main() {}
