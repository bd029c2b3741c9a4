use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 0))]
    Fetch,
}

fn main() {}
