use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(steps = "release_steps")]
enum Release {
    Fetch,
}

fn main() {}
