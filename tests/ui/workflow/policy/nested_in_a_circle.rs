use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests)]
    Test,
}

#[derive(Workflow)]
enum Tests {
    Unit,
    #[step(workflow = Release)]
    Rehearse,
}

fn main() {}
