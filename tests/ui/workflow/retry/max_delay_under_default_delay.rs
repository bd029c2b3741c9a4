use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, max_delay = "500ms"))]
    Fetch,
}

fn main() {}
