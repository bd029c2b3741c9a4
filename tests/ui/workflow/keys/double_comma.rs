use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(undo,, skippable)]
    Fetch,
}

fn main() {}
