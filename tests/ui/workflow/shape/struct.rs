use step_machine::Workflow;

#[derive(Workflow)]
struct Release {
    version: String,
}

fn main() {}
