use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = , undo)]
    Fetch,
}

fn main() {}
