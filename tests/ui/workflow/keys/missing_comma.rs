use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(undo weight = 3)]
    Fetch,
}

fn main() {}
