use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 1, delay = "1s"))]
    Fetch,
}

fn main() {}
