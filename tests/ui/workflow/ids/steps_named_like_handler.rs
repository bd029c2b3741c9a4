use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(steps = release, handler = release)]
enum Release {
    Fetch,
}

fn main() {}
