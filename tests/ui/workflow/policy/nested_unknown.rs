use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests)]
    Test,
}

fn main() {}
