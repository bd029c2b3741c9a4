use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests, secret)]
    Fetch,
}

#[derive(Workflow)]
enum Tests {
    #[step(output = String, secret)]
    Unit,
}

fn main() {}
