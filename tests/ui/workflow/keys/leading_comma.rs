use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(, undo)]
    Fetch,
}

fn main() {}
