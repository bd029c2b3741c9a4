use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch(String),
    Build,
}

fn main() {}
