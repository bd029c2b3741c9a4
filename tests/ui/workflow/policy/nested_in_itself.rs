use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = Release)]
    Fetch,
}

fn main() {}
