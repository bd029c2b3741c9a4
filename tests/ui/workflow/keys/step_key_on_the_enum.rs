use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(undo)]
enum Release {
    Fetch,
}

fn main() {}
