use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 2.5))]
    Fetch,
}

fn main() {}
