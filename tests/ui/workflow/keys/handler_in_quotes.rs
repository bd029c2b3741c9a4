use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(handler = "ReleaseHandler")]
enum Release {
    Fetch,
}

fn main() {}
