use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(handler = Release)]
enum Release {
    Fetch,
}

fn main() {}
