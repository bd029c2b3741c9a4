use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, attempts = 5))]
    Fetch,
}

fn main() {}
