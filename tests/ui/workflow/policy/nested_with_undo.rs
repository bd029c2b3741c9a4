use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(on_failure = "rollback")]
enum Release {
    #[step(workflow = Tests, undo)]
    Test,
}

#[derive(Workflow)]
enum Tests {
    Unit,
}

fn main() {}
