use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3 delay = "1s"))]
    Fetch,
}

fn main() {}
