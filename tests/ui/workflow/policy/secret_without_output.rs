use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(secret, retry(attempts = 3))]
    Fetch,
}

fn main() {}
