use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(paralel)]
enum Release {
    Fetch,
}

fn main() {}
