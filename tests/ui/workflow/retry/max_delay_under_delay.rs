use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, delay = "10s", max_delay = "5s"))]
    Fetch,
}

fn main() {}
