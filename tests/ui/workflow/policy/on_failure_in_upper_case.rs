use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(on_failure = "Rollback")]
enum Release {
    #[step(undo)]
    Fetch,
}

fn main() {}
