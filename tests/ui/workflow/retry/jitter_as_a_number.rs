use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, jitter = 0.3))]
    Fetch,
}

fn main() {}
