use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(on_failure = "rolback")]
enum Release {
    #[step(undo)]
    Fetch,
}

fn main() {}
