use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(secret)]
enum Release {
    #[step(output = String)]
    Fetch,
}

fn main() {}
