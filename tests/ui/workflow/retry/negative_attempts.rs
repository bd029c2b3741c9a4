use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = -1))]
    Fetch,
}

fn main() {}
