use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(deadline = "0s")]
enum Release {
    Fetch,
}

fn main() {}
