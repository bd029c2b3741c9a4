use step_machine::Workflow;

struct Tests;

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests)]
    Test,
}

fn main() {}
