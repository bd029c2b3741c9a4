use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 5000000000))]
    Fetch,
}

fn main() {}
