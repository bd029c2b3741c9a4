use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(undo)]
    Fetch,
    UndoFetch,
}

fn main() {}
