use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(undo = true)]
    Fetch,
}

fn main() {}
