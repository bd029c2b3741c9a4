use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch(#[step(undo)] String),
}

fn main() {}
