use step_machine::Workflow;

#[derive(Workflow)]
enum Release {}

fn main() {}
