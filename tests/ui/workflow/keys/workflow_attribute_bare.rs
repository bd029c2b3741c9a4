use step_machine::Workflow;

#[derive(Workflow)]
#[workflow]
enum Release {
    Fetch,
}

fn main() {}
