use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, delay = "10"))]
    Fetch,
}

fn main() {}
