use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(delay = "1s"))]
    Fetch,
}

fn main() {}
