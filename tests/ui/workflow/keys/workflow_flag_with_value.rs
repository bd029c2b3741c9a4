use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel = true)]
enum Release {
    Fetch,
}

fn main() {}
